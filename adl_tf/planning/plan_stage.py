"""Chooses settings, tries them on this machine, and writes the plan."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import tensorflow as tf

from adl_tf.model_directory import GENOTYPE_FILE
from adl_tf.models.presets import preset_dir
from adl_tf.models.registry import read_network_description
from adl_tf.planning.config_files import config_files, search_config, train_config
from adl_tf.planning.fingerprint import TRAIN, VAL, Fingerprint
from adl_tf.planning.plan import (
    SEARCH,
    SEARCHES,
    TRAINING,
    Plan,
    SearchSteps,
    TooShort,
    least_after_search,
    make_plan,
    search_share,
)
from adl_tf.planning.settings import (
    DEFAULT_WIDTH,
    GENOTYPE,
    LARGEST_SEARCH_CROP,
    PRESET,
    SEARCHED,
    Settings,
    Start,
    billions,
    choose_settings,
    largest_crop,
    possible_starts,
)
from adl_tf.planning.stages import State, minutes
from adl_tf.planning.timings import Timings
from adl_tf.planning.trials import (
    LARGEST_SEARCH_TRIED,
    LARGEST_TRIED,
    Tried,
    measure,
    trial_limit,
)
from adl_tf.space.budget import Budget
from adl_tf.space.genotype import (
    Genotype,
    load_genotype,
    load_network_size,
    save_genotype,
)
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.system.files import make_directory, remove_temporaries, write_json, write_text
from adl_tf.system.progress import say

PLAN, TRIALS, PLAN_FILE = "plan", "trials", "plan.json"
# What comes with the package.
DEFAULT_PRESET = "camvid"
SEARCH_CHOICES = {"auto": None, "on": True, "off": False}


class Wishes(NamedTuple):
    """The request of the user.

    Attributes:
      hours: for the whole run.
      multi_adds: billions that the network may cost; None for a small one.
      search: one of `SEARCH_CHOICES`.
      genotype: what to train without a search, see `load_genotype`.
      preset: network that comes with the package, to start from without a search.
    """

    hours: float
    multi_adds: Optional[float] = None
    search: str = "auto"
    genotype: Optional[str] = None
    preset: Optional[str] = None

    def network(self) -> Dict[str, Any]:
        """All but the hours, which may grow."""
        return {name: value for name, value in self._asdict().items() if name != "hours"}


class _Network(NamedTuple):
    """A genotype, and F and sizes where they are given."""

    genotype: Genotype
    size: Optional[Tuple[int, NetworkSizes]] = None


def write_plan(
    state: State, fingerprint: Fingerprint, dataset_dir: str, output_dir: str, wishes: Wishes
) -> None:
    """Writes the plan into its folder and into the state.

    Raises:
      ValueError: wishes that exclude each other, hours too few for any plan, or a trial that
        failed.
    """
    plan_dir = os.path.join(output_dir, PLAN)
    make_directory(plan_dir)
    remove_temporaries(plan_dir)  # Of a run that was killed here.
    settings = choose_settings(
        fingerprint, wishes.multi_adds, len(tf.config.list_physical_devices("GPU"))
    )
    preset = _read_preset(wishes.preset or DEFAULT_PRESET)
    given = _read_genotype(wishes.genotype)
    starts = _starts(wishes, fingerprint, preset, given)
    network = given or preset
    timings = _try(state, fingerprint, dataset_dir, output_dir, wishes, settings, starts, network)
    spent = sum(state.spent.values())
    try:
        plan = make_plan(settings, fingerprint, timings, 3600 * wishes.hours - spent, starts)
    except TooShort as short:
        needed = 1.05 * (short.seconds + spent) / 3600
        raise ValueError(
            f"--hours={wishes.hours:g} is too short: the smallest plan for these images on this "
            f"machine takes {needed:.3f} hours, the trial included; more hours go on from here."
        ) from short
    _write(plan, fingerprint, dataset_dir, plan_dir)
    genotype, arguments = None, []
    if plan.start != SEARCHED:
        fixed = network if plan.start == PRESET or given else _Network(preset.genotype)
        genotype = os.path.join(plan_dir, GENOTYPE_FILE)
        _save(fixed, plan.settings, fingerprint, genotype)
        arguments = [f"--init_from={_preset(wishes)}"] if plan.start == PRESET else []
    say(f"The plan, in {plan_dir}:")
    for line in plan.table():
        say(line)
    step = timings.step(plan.settings.crop_size, _cost(plan, starts))
    state.set(
        plan=plan.to_dict(),
        hours=wishes.hours,
        wishes=wishes.network(),
        preset=_preset(wishes),
        train_step=step,
        train_fixed=plan.seconds[TRAINING] - plan.train_steps * step,
        trial_planned=trial_limit(wishes.hours),
        genotype=genotype,
        train_arguments=arguments,
    )


def _preset(wishes: Wishes) -> str:
    return wishes.preset or DEFAULT_PRESET


def _read_preset(name: str) -> _Network:
    description = read_network_description(preset_dir(name))
    size = description.filter_multiplier, description.sizes
    return _Network(description.genotype, size)


def _read_genotype(source: Optional[str]) -> Optional[_Network]:
    """The given genotype; F and sizes where they stand beside it."""
    if source is None:
        return None
    genotype = load_genotype(source)
    try:
        return _Network(genotype, load_network_size(source))
    except ValueError:
        return _Network(genotype)


def _starts(
    wishes: Wishes, fingerprint: Fingerprint, preset: _Network, given: Optional[_Network]
) -> List[Start]:
    if wishes.genotype and wishes.preset:
        raise ValueError("--genotype and --preset both say what is trained; leave one out.")
    if wishes.search not in SEARCH_CHOICES:
        raise ValueError(f"--search={wishes.search}: choose from {', '.join(SEARCH_CHOICES)}.")
    return possible_starts(
        fingerprint.examples[TRAIN],
        _preset(wishes),
        billions(preset.genotype, *preset.size, fingerprint),
        wishes.multi_adds,
        SEARCH_CHOICES[wishes.search],
        GENOTYPE if wishes.genotype else PRESET if wishes.preset else None,
        billions(given.genotype, *given.size, fingerprint) if given and given.size else None,
    )


def _try(
    state: State,
    fingerprint: Fingerprint,
    dataset_dir: str,
    output_dir: str,
    wishes: Wishes,
    settings: Settings,
    starts: List[Start],
    network: _Network,
) -> Timings:
    """Durations of a few steps of each program with about these settings."""
    plan_dir = os.path.join(output_dir, PLAN)
    configs = config_files(plan_dir)
    searched = starts[0].kind == SEARCHED
    crop = min(settings.crop_size, LARGEST_TRIED)
    tried = settings.with_setting("crop_size", crop, "of the trial")
    write_text(train_config(tried, dataset_dir, 1, 1, None), configs[TRAINING])
    search_crop = None
    if searched:
        largest = largest_crop(LARGEST_SEARCH_CROP, settings.short_side)
        search_crop = min(largest, LARGEST_SEARCH_TRIED)
        steps = SearchSteps(search_crop, *SEARCHES[-1], 1)
        write_text(search_config(tried, dataset_dir, steps), configs[SEARCH])
        # A network like those that a search will find.
        network = _Network(network.genotype)
    genotype = os.path.join(plan_dir, GENOTYPE_FILE)
    filters, sizes = _save(network, settings, fingerprint, genotype)
    arguments = [f"--genotype={genotype}"]
    if starts[0].kind == PRESET:
        arguments.append(f"--init_from={_preset(wishes)}")
    cost = billions(network.genotype, filters, sizes, fingerprint)
    share = search_share(insists=len(starts) == 1)
    images = fingerprint.examples[VAL]
    after = least_after_search(starts, settings.short_side)
    what = Tried(configs, arguments, crop, search_crop, share, after, cost, images)
    say(
        "Trying a few dozen steps on this machine, to see what they take: at most "
        f"{minutes(trial_limit(wishes.hours))}."
    )
    return measure(state, os.path.join(output_dir, TRIALS), what, wishes.hours)


def _save(
    network: _Network, settings: Settings, fingerprint: Fingerprint, path: str
) -> Tuple[int, NetworkSizes]:
    """Writes a genotype with its F and sizes, or those that fill the budget; returns the two."""
    filters, sizes = network.size or _fill(network.genotype, settings, fingerprint)
    save_genotype(network.genotype, path, filter_multiplier=filters, sizes=sizes.to_dict())
    return filters, sizes


def _fill(
    genotype: Genotype, settings: Settings, fingerprint: Fingerprint
) -> Tuple[int, NetworkSizes]:
    filters, sizes = DEFAULT_WIDTH
    budget = Budget(
        settings.image_size,
        len(fingerprint.class_names),
        filters,
        multi_adds=settings.multi_adds,
        sizes=sizes,
    )
    return budget.fill(genotype)


def _write(plan: Plan, fingerprint: Fingerprint, dataset_dir: str, plan_dir: str) -> None:
    """The files of a plan."""
    configs = config_files(plan_dir)
    write_text(training_text(plan, dataset_dir), configs[TRAINING])
    if plan.search:
        write_text(search_config(plan.settings, dataset_dir, plan.search), configs[SEARCH])
    elif os.path.exists(configs[SEARCH]):
        os.remove(configs[SEARCH])  # Of the trial.
    write_json(plan.to_dict(), os.path.join(plan_dir, PLAN_FILE))


def training_text(plan: Plan, dataset_dir: str) -> str:
    """The gin file of a plan's training."""
    return train_config(
        plan.settings, dataset_dir, plan.train_steps, plan.validate_every, plan.validation_images
    )


def _cost(plan: Plan, starts: List[Start]) -> float:
    """Billions of Multi-Adds of the network that is trained."""
    (start,) = (start for start in starts if start.kind == plan.start)
    return start.multi_adds or plan.settings.multi_adds

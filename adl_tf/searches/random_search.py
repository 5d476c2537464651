"""Random search: random networks of one cost, trained shortly; the worst stop early."""

import dataclasses
import os
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from adl_tf.configuration import configured_sizes, configured_space
from adl_tf.model_directory import (
    ARCHITECTURE_PICTURE,
    GENOTYPE_FILE,
    SCHEDULE_FILE,
    SPACE_FILE,
)
from adl_tf.runs.data import RunData
from adl_tf.runs.run import open_run, reserve
from adl_tf.searches.proposals import DRAWS, random_candidates
from adl_tf.searches.result import write_events
from adl_tf.searches.trials import Trial, Trials, winner
from adl_tf.serving.layer_timing import with_latency
from adl_tf.space.budget import Budget
from adl_tf.space.decision import weightless_share
from adl_tf.space.genotype import describe_genotype, save_genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.search_space import SearchSpace
from adl_tf.system.files import exclusive
from adl_tf.system.progress import Progress, say
from adl_tf.system.settings import Count, configurable
from adl_tf.visualization.architecture import draw_architecture
from adl_tf.visualization.figure import save_figure


@configurable
def run_random_search(
    model_dir: str,
    data: Optional[RunData] = None,
    space: Optional[SearchSpace] = None,
    sizes: Optional[NetworkSizes] = None,
    candidates: Count = 20,
    trials: Optional[Callable[[], Trials]] = None,
    budget: Optional[Callable[..., Budget]] = None,
) -> Dict[str, Any]:
    """Trains random networks, the widest of many draws, and stops those that learn poorly.

    Random search with early stopping is one of the two baselines that architecture search has to
    beat (Li and Talwalkar, https://arxiv.org/abs/1902.07638). The same command resumes.

    Args:
      model_dir: directory of everything that is written.
      data: images; None for those that gin binds. All of its training split is trained on, and
        nothing else is seen.
      space: what is searched; None for the one that gin binds.
      sizes: filters of stem, ASPP and decoder; None for those that gin binds.
      candidates: genotypes to train.
      trials: makes what trains them; None for the one that gin binds.
      budget: makes the budget that F of each of them fills, given `num_classes` and `sizes`; None
        leaves the space's F.

    Returns:
      genotype (path of the best one's file), path, cell, filter_multiplier, loss and miou (on the
      training crops of its last rung), decision, weight_steps (of all), seconds (of this run),
      model_dir.

    Raises:
      ValueError, FileNotFoundError: bad configuration or data set, or a genotype that fits the
        budget at no F.
    """
    started = time.time()
    data, space = data or RunData(), space or configured_space()
    sizes = sizes or configured_sizes()
    with open_run(model_dir, data) as run:
        own_dir = run.own_dir
        trials = (trials or Trials)()
        limit = budget and with_latency(budget(num_classes=data.num_classes, sizes=sizes))
        networks = random_candidates(space, candidates, data.seed, sizes, limit)
        with exclusive(own_dir):
            reserve(
                own_dir,
                {
                    SPACE_FILE: {
                        "method": run_random_search.__name__,
                        "space": dataclasses.asdict(space),
                        "num_classes": data.num_classes,
                        "sizes": sizes.to_dict(),
                    },
                    SCHEDULE_FILE: {
                        **data.schedule(trials.rung_steps),
                        **({"budget": limit.to_dict()} if limit else {}),
                        "crop_size": data.crop_size,
                        "draws": DRAWS,
                        "trials": trials.settings(),
                    },
                },
            )
            say(f"Writing to {model_dir}: {candidates} networks, {trials.rungs} rungs.")
            with Progress(trials.work(candidates)) as progress:
                tried = trials.run(run, networks, data, progress)
            result = _report(own_dir, tried, trials)
    return {
        **result,
        "genotype": os.path.join(model_dir, GENOTYPE_FILE),
        "seconds": round(time.time() - started, 1),
        "model_dir": model_dir,
    }


def _report(own_dir: str, trials: Sequence[Trial], settings: Trials) -> Dict[str, Any]:
    """Writes, prints and draws what was found."""
    best = winner(trials)
    genotype = best.candidate.genotype
    first = np.array([trial.losses[0] for trial in trials])
    finished = sum(len(trial.losses) == len(best.losses) for trial in trials)
    decision = {
        "candidates": len(trials),
        "finished": finished,
        "first_rung_median": float(np.median(first)),
        "first_rung_best": best.losses[0],
        "weightless_ops": weightless_share(genotype.cell),
    }
    lines: List[str] = [
        *describe_genotype(genotype),
        best.sentence(),
        f"{len(trials)} random networks, {finished} of them trained to the end; training loss of "
        f"the first rung: the found one's {best.losses[0]:.3f}, the median {np.median(first):.3f}",
        "each was trained once, and another seed can change the order: adl_tf.study repeats",
    ]
    for line in lines:
        say(line)
    save_genotype(
        genotype, os.path.join(own_dir, GENOTYPE_FILE), **best.fields(), decision=decision
    )
    save_figure(draw_architecture(genotype), os.path.join(own_dir, ARCHITECTURE_PICTURE))
    steps = settings.rung_steps * sum(len(trial.losses) for trial in trials)
    write_events(
        own_dir,
        steps,
        {
            "found/loss": best.losses[-1],
            "found/miou": best.miou,
            **{f"decision/{name}": float(value) for name, value in decision.items()},
        },
    )
    return {
        **genotype.to_dict(),
        **best.fields(),
        "decision": decision,
        "weight_steps": steps,
    }

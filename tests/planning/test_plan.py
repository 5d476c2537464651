"""Plans: what they choose, and that they keep within the time."""

import gin
import numpy as np
import pytest

import adl_tf.runs.training_run  # noqa: F401
import adl_tf.searches.method  # noqa: F401  What the gin files of a plan bind.
from adl_tf.configuration import configured_sizes, configured_space, parse_gin
from adl_tf.planning.fingerprint import Fingerprint
from adl_tf.planning.plan import (
    EVALUATION,
    SEARCH,
    TRAINING,
    Timings,
    choose_settings,
    make_plan,
    search_config,
    train_config,
)
from adl_tf.space.costs import network_cost
from adl_tf.space.sampling import sample_genotype

TIMINGS = Timings(5.0, 10.0, 0.3, 10.0, 0.5, 0.1, 8.0, 15.0, 2.5)


@pytest.fixture(autouse=True)
def gin_as_before():
    yield
    gin.clear_config()


def fingerprint(train=100, val=20, size=(360, 480), shares=(0.5, 0.45, 0.05)):
    return Fingerprint(
        name="data",
        class_names=("a", "b", "c"),
        examples={"train": train, "val": val},
        sizes={"train": [size] * 3, "val": [size] * 3},
        class_shares={"train": shares, "val": shares},
        ignored_shares={"train": 0.0, "val": 0.0},
        modes={"train": {"PNG, RGB": train}, "val": {"PNG, RGB": val}},
        duplicates=(),
        oddities=(),
    )


@pytest.mark.parametrize("hours", [0.5, 2, 24])
def test_the_time_is_kept_and_the_steps_fill_it(hours):
    data = fingerprint()
    plan = make_plan(choose_settings(data, None, False), data, TIMINGS, hours)
    assert 0.98 * hours * 3600 < sum(plan.seconds.values()) <= hours * 3600
    assert plan.seconds[SEARCH] <= min(0.26 * hours, 1.01) * 3600
    start = TIMINGS.search_start + plan.candidates * TIMINGS.candidate_start
    steps = (plan.seconds[SEARCH] - start) / TIMINGS.search_step
    assert plan.candidates / 4 < steps / plan.search_steps < plan.candidates / 2
    assert plan.train_steps * TIMINGS.train_step <= plan.seconds[TRAINING]
    assert list(plan.seconds)[-2] == EVALUATION


def test_validations_do_not_eat_the_time():
    data = fingerprint(val=5000)
    plan = make_plan(choose_settings(data, None, False), data, TIMINGS, 1.0)
    assert 1 <= plan.validation_images < 5000
    scored = plan.validation_images * TIMINGS.validation * 8
    assert scored <= 0.05 * 3600
    few = make_plan(choose_settings(data, None, False), fingerprint(), TIMINGS, 1.0)
    assert few.validation_images is None


def test_too_little_time_says_how_much_is_needed():
    data = fingerprint()
    settings = choose_settings(data, None, False)
    with pytest.raises(ValueError, match="the smallest plan .* takes (.*) hours") as caught:
        make_plan(settings, data, TIMINGS, 0.01)
    needed = float(str(caught.value).rpartition("takes ")[2].split()[0])
    make_plan(settings, data, TIMINGS, needed + 0.01)


@pytest.mark.parametrize("multi_adds", [0.8, 2.0, 5.0])
def test_networks_cost_what_they_may(multi_adds):
    data = fingerprint()
    settings = choose_settings(data, multi_adds, False)
    parse_gin([], [f"SearchSpace.{k} = {v}" for k, v in (("num_layers", 8), ("num_blocks", 3))])
    space = configured_space()
    random = np.random.default_rng(1)
    costs = [
        network_cost(
            sample_genotype(space, random),
            settings.filter_multiplier,
            3,
            (360, 480),
            settings.sizes,
        )
        for _ in range(60)
    ]
    total, cells = (
        np.median([getattr(c, part).multi_adds for c in costs]) / 1e9 for part in ("total", "cells")
    )
    assert 0.4 * multi_adds < total < 1.1 * multi_adds
    assert cells == pytest.approx(settings.cells_multi_adds, rel=0.15)
    with pytest.raises(ValueError, match="the smallest networks cost"):
        choose_settings(data, 0.01, False)


def test_what_depends_on_the_data():
    small, large = (
        choose_settings(fingerprint(size=s), None, False) for s in ((90, 120), (2000, 900))
    )
    assert small.search_crop_size <= small.crop_size <= 97 and large.crop_size == 513
    assert all(size % 32 == 1 for size in (small.crop_size, large.search_crop_size))
    assert choose_settings(fingerprint(shares=(0.6, 0.395, 0.005)), None, False).class_balanced
    assert not choose_settings(fingerprint(shares=(0.3, 0.3, 0.4)), None, False).class_balanced
    assert choose_settings(fingerprint(), None, True).precision == "mixed_float16"
    few = choose_settings(fingerprint(train=12), None, False, preset="camvid")
    assert not few.searched and "12 images are too few" in few.reasons["searched"]
    assert choose_settings(fingerprint(train=12), None, False).searched  # Nothing to start from.
    assert "search_crop_size" not in few.reasons  # Nothing is printed that does not matter.
    plan = make_plan(few, fingerprint(train=12), TIMINGS, 0.5)
    assert SEARCH not in plan.seconds and plan.search_steps == 0


def macro(name):
    return gin.query_parameter(f"{name}/gin.macro.value")


def test_the_files_are_what_was_planned(tmp_path):
    data = fingerprint()
    settings = choose_settings(data, 5.0, False)
    file = tmp_path / "plan.gin"
    text = search_config(settings, "data/mine", 700, 50)
    file.write_text(text)
    parse_gin([str(file)], [])
    assert "STEPS" in str(gin.query_parameter("run_random_search.steps"))
    assert configured_sizes() == settings.sizes
    assert macro("MULTI_ADDS") == settings.cells_multi_adds
    assert (macro("STEPS"), macro("DATASET_DIR")) == (700, "data/mine")
    assert f"CROP_SIZE = {settings.search_crop_size}  # smaller" in text
    for name in ("# Planned for data/mine", "STEPS = 700", "CANDIDATES = 50"):
        assert name in text
    text = train_config(settings, "data/mine", 900, 100, 7)
    file.write_text(text)
    parse_gin([str(file)], [])
    assert configured_sizes() == settings.sizes
    assert (macro("STEPS"), macro("DATASET_DIR")) == (900, "data/mine")
    assert gin.query_parameter("RunData.validation_images") == 7
    assert gin.query_parameter("run_training.validate_every") == 100

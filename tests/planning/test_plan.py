"""Plans: what they choose, that they keep within the time, and how they shrink with it."""

import gin
import hypothesis
import hypothesis.strategies as st
import pytest

import adl_tf.runs.training_run  # noqa: F401
import adl_tf.searches.method  # noqa: F401  What the gin files of a plan bind.
from adl_tf.configuration import configured_budget, parse_gin
from adl_tf.models.presets import preset_dir
from adl_tf.models.registry import read_network_description
from adl_tf.planning.config_files import search_config, train_config
from adl_tf.planning.fingerprint import Fingerprint
from adl_tf.planning.plan import (
    ARCH_START_EPOCH,
    BASELINE,
    EPOCHS,
    EVALUATION,
    LEAST_STEPS,
    OTHER,
    REPORT,
    SEARCH,
    TRAINING,
    SearchSteps,
    TooShort,
    make_plan,
)
from adl_tf.planning.plan_stage import _fill
from adl_tf.planning.settings import (
    CROPS,
    GENOTYPE,
    PRESET,
    SEARCHED,
    billions,
    choose_settings,
    possible_starts,
    usable_short_side,
)
from adl_tf.planning.timings import SearchTimings, Timings
from adl_tf.searches.trials import Trials

SEARCH_TIMINGS = SearchTimings(
    crop_size=129,
    start=15.0,
    weight_step=0.25,
    alternating_step=0.7,
    validation=0.2,
    candidate_start=8.0,
    candidate_step=0.15,
)
TIMINGS = Timings(
    crop_size=257,
    multi_adds=3.0,
    train_start=12.0,
    train_step=0.5,
    validation=0.1,
    evaluation_start=8.0,
    export=15.0,
    memory=2.5,
    baseline_step=0.4,
    search=SEARCH_TIMINGS,
)


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


def plan(hours, data=None, timings=TIMINGS, multi_adds=None, **wishes):
    data = data or fingerprint()
    settings = choose_settings(data, multi_adds)
    starts = possible_starts(data.examples["train"], "camvid", 3.2, multi_adds, **wishes)
    return make_plan(settings, data, timings, 3600 * hours, starts)


@pytest.mark.parametrize("hours", [0.05, 0.1, 0.3, 1, 2, 24])
def test_the_time_is_kept_and_the_steps_fill_it(hours):
    made = plan(hours)
    assert 0.97 * hours * 3600 < sum(made.seconds.values()) <= hours * 3600
    assert made.seconds.get(SEARCH, 0.0) <= min(0.25 * hours, 1) * 3600
    assert (made.search is None) == (SEARCH not in made.seconds)
    assert made.start == (SEARCHED if made.search else PRESET)
    assert made.train_steps >= LEAST_STEPS
    assert made.seconds[TRAINING] >= made.train_steps * 0.25 * TIMINGS.train_step
    assert {EVALUATION, REPORT} <= set(made.seconds)


@hypothesis.given(
    st.floats(0.02, 30),
    st.floats(0.01, 20),
    st.floats(1, 100),
    st.integers(2, 5000),
    st.integers(1, 5000),
    st.sampled_from([30, 200, 500, 1000, 4000]),
)
@hypothesis.settings(
    max_examples=60,
    deadline=None,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
def test_a_plan_of_any_images_on_any_machine_fits_or_says_what_would(
    hours, step, start, train, val, side
):
    timings = Timings(**{**vars(TIMINGS), "train_step": step, "train_start": start})
    data = fingerprint(train, val, (side, side + 40))
    try:
        made = plan(hours, data, timings)
    except TooShort as short:
        assert short.seconds > 3600 * hours
        made = plan(short.seconds / 3600 + 1e-4, data, timings)
        assert made.train_steps >= LEAST_STEPS
    else:
        assert sum(made.seconds.values()) <= 3600 * hours * 1.0001
        assert made.settings.crop_size in CROPS


def test_it_shrinks_with_the_hours_until_there_is_no_search():
    plans = [plan(hours) for hours in (8, 2, 1, 0.7, 0.3, 0.1, 0.05)]
    searches = [made.search for made in plans]
    assert searches[0] and searches[-1] is None
    found = [search.proposals if search else 0 for search in searches]
    assert found == sorted(found, reverse=True) and found[0] == 10
    sides = [made.settings.crop_size for made in plans if made.start == PRESET]
    assert sides == sorted(sides, reverse=True)
    for made in plans:
        if made.search:
            assert made.train_steps >= 4000
        else:
            assert "too few for a search" in made.start_reason
        assert made.settings.reasons["crop_size"].startswith(
            f"{made.settings.crop_size / 360:.0%} of the median short side, 360"
        )


def test_large_crops_come_before_many_steps():
    for hours in (0.15, 0.2, 0.3):
        made = plan(hours)
        assert made.settings.crop_size >= 0.66 * 360 and made.train_steps >= 600
    few = plan(0.1)
    assert 0.33 * 360 <= few.settings.crop_size < 0.66 * 360 and few.train_steps >= 1000


def test_a_search_that_leaves_few_steps_gives_way_to_weights_only():
    slow = Timings(**{**vars(TIMINGS), "train_step": 2.0})
    assert plan(1, timings=slow).start == PRESET
    # Without weights that may be taken, or where it is insisted on.
    for wishes in (dict(multi_adds=2.0), dict(search=True)):
        made = plan(1, timings=slow, **wishes)
        assert made.start == SEARCHED and 600 <= made.train_steps < 4000


def test_a_network_shrinks_where_its_cost_is_not_given_by_weights():
    slow = Timings(**{**vars(TIMINGS), "train_step": 3.0})
    wide, narrow = (
        plan(hours, timings=slow, given=GENOTYPE).settings.multi_adds for hours in (9, 0.35)
    )
    assert narrow < wide
    fixed = plan(0.35, timings=slow, given=GENOTYPE, given_cost=3.0).settings.multi_adds
    assert fixed == 3.0


def test_what_time_a_search_takes():
    made = plan(2.0, multi_adds=2.5)
    search = made.search
    trainings = 2 * search.proposals + 7 + 3  # A third of them goes on, twice.
    assert search.crop_size == 129
    share = 2.5 / 3.0
    # What goes on is not built anew.
    expected = 15 + 2 * search.proposals * 8.0 + EPOCHS * search.validation_images * 0.2
    expected += search.steps_per_epoch * (ARCH_START_EPOCH * 0.25 + 6 * 0.7)
    expected += trainings * (search.trial_steps // 3) * 0.15 * (0.25 + 0.75 * share)
    assert made.seconds[SEARCH] == pytest.approx(expected)


def test_validations_do_not_eat_the_time():
    made = plan(1.0, fingerprint(val=5000))
    assert made.validation_images * 0.09 * 8 <= 0.051 * 3600
    assert made.evaluation_images * 0.09 <= 0.11 * 3600
    few = plan(1.0)
    assert few.validation_images is None and few.evaluation_images is None


def test_a_tenth_of_the_time_goes_to_each_training_that_it_is_compared_with():
    made = plan(2.0)
    assert set(made.compared_steps) == {OTHER, BASELINE}
    for name in made.compared_steps:
        assert made.seconds[name] == pytest.approx(0.1 * made.seconds[TRAINING], rel=0.05)
    assert set(plan(2.0, search=True).compared_steps) == {BASELINE}
    assert not plan(0.05).compared_steps  # They would not get beyond their start.


def test_too_little_time_says_how_much_is_needed():
    with pytest.raises(TooShort) as caught:
        plan(0.01)
    plan(caught.value.seconds / 3600 + 0.001)


@pytest.mark.parametrize("tried", [True, False])
def test_a_search_that_is_insisted_on_says_what_it_needs(tried):
    timings = TIMINGS if tried else Timings(**{**vars(TIMINGS), "search": None})
    with pytest.raises(TooShort) as caught:
        plan(0.06, timings=timings, search=True)
    assert caught.value.seconds > 0.06 * 3600
    made = plan(1.01 * caught.value.seconds / 3600 + (0 if tried else 0.1), search=True)
    assert made.search and made.search.proposals <= 6


def test_what_a_training_may_start_from():
    def kinds(images=100, cost=3.2, **wishes):
        return [start.kind for start in possible_starts(images, "camvid", cost, **wishes)]

    assert kinds() == [SEARCHED, PRESET]
    assert kinds(images=12) == kinds(search=False) == kinds(given=PRESET) == [PRESET]
    assert kinds(multi_adds=2.0) == [SEARCHED, GENOTYPE]  # The weights cost too much.
    assert kinds(images=12, multi_adds=2.0) == [GENOTYPE]
    assert kinds(images=12, search=True) == [SEARCHED]
    (few,) = possible_starts(12, "camvid", 3.2)
    assert "12 images are too few" in few.reason and "'camvid'" in few.reason
    assert "'camvid' was possible, too" in possible_starts(100, "camvid", 3.2)[0].reason
    for wishes in (
        dict(search=True, given=PRESET),
        dict(given=PRESET, multi_adds=2.0),
        dict(given=GENOTYPE, given_cost=3.0, multi_adds=2.0),
        dict(images=1, search=True),
    ):
        with pytest.raises(ValueError, match="leave one of them out|there is one"):
            kinds(**wishes)


@pytest.mark.parametrize("multi_adds", [0.8, 2.0, 5.0])
def test_a_network_costs_what_it_may(multi_adds):
    data = fingerprint()
    settings = choose_settings(data, multi_adds)
    genotype = read_network_description(preset_dir("camvid")).genotype
    filters, sizes = _fill(genotype, settings, data)
    assert billions(genotype, filters, sizes, data) == pytest.approx(multi_adds, rel=0.25)
    with pytest.raises(ValueError, match="the smallest networks cost"):
        choose_settings(data, 0.01)


def test_what_depends_on_the_data():
    small, large = (choose_settings(fingerprint(size=s), None) for s in ((90, 120), (2000, 900)))
    assert small.crop_size == 97 and large.crop_size == 673
    assert "75% of the median short side, 900" in large.reasons["crop_size"]
    assert all(size % 32 == 1 for size in CROPS) and 225 in CROPS
    assert choose_settings(fingerprint(shares=(0.6, 0.395, 0.005)), None).class_balanced
    assert not choose_settings(fingerprint(shares=(0.3, 0.3, 0.4)), None).class_balanced
    assert choose_settings(fingerprint(), None, 1).precision == "mixed_float16"


@pytest.mark.parametrize("gpus", [0, 1, 2, 3, 8])
@pytest.mark.parametrize("images", [1, 3, 5, 20, 1000])
def test_gpus_share_each_batch_equally(gpus, images):
    settings = choose_settings(fingerprint(images), None, gpus)
    used = 1 if settings.distribution == "single" else max(1, gpus)
    assert settings.batch_size >= 1 and settings.batch_size % used == 0
    assert settings.batch_size <= max(1, images // 2)  # Of which a search has half.
    assert (settings.distribution == "single") == (images < 2 * gpus)


def macro(name):
    return gin.query_parameter(f"{name}/gin.macro.value")


def test_the_files_are_what_was_planned(tmp_path):
    data = fingerprint()
    settings = choose_settings(data, 5.0)
    file = tmp_path / "plan.gin"
    file.write_text(search_config(settings, "data/mine", SearchSteps(161, 6, 25, 130, 9)))
    parse_gin([str(file)], [])
    trials = Trials()
    assert (trials.rungs, trials.share, trials.rung_steps) == (3, 0.33, 43)
    assert trials.class_balanced_loss == settings.class_balanced
    budget = configured_budget(num_classes=3)
    assert budget.multi_adds == 5.0 and tuple(budget.image_size) == (360, 480)
    assert gin.query_parameter("run_gradient_search.steps_per_epoch") == 25
    assert [macro(name) for name in ("EPOCHS", "ARCH_START_EPOCH", "PROPOSALS")] == [10, 4, 6]
    assert (macro("DATASET_DIR"), macro("CROP_SIZE")) == ("data/mine", 161)
    file.write_text(train_config(settings, "data/mine", 900, 100, 7))
    parse_gin([str(file)], [])
    assert macro("FILTER_MULTIPLIER") is None  # That of the genotype's file.
    assert (macro("STEPS"), macro("DATASET_DIR")) == (900, "data/mine")
    assert gin.query_parameter("RunData.validation_images") == 7
    assert gin.query_parameter("run_training.validate_every") == 100


def test_seconds_are_in_words():
    table = "\n".join(plan(1.0).table())
    assert "evaluate: 10 seconds" in table and " 0.0 minutes" not in table


def test_more_hours_use_larger_images():
    assert [usable_short_side(hours) for hours in (0.1, 0.25, 0.3, 1, 4, 100)] == [
        *(384, 384, 512, 512, 768, 1024)
    ]

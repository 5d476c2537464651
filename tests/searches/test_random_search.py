"""Random search and its trials: what is found, what is left of an interruption."""

import functools
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from adl_tf.runs.data import RunData
from adl_tf.searches import trials
from adl_tf.searches.random_search import run_random_search
from adl_tf.searches.trials import Trials
from adl_tf.space.budget import Budget
from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import load_genotype, load_network_size
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.search_space import SearchSpace
from data_prep import convert_synthetic

SPACE = SearchSpace(num_layers=2, num_blocks=1, filter_multiplier=2, num_levels=2)
SIZES = NetworkSizes(stem=(4, 4, 4), aspp=4, low_level=4, decoder=4)


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("records") / "streets")
    convert_synthetic.build(directory, num_train=6, num_val=2, height=32, width=48)
    return directory


CANDIDATES = 4


def search(streets, model_dir, candidates=CANDIDATES, **options):
    data = RunData(streets, crop_size=33, batch_size=2, deterministic=True)
    budget = options.pop("budget", None)
    tried = functools.partial(Trials, **{"steps": 4, "rungs": 2, "share": 0.5, **options})
    return run_random_search(str(model_dir), data, SPACE, SIZES, candidates, tried, budget)


@pytest.fixture(scope="module")
def whole(streets, tmp_path_factory):
    """A search that nothing stopped, and its directory."""
    model_dir = tmp_path_factory.mktemp("whole")
    return search(streets, model_dir), model_dir


def lines(model_dir):
    return [json.loads(line) for line in (model_dir / "ranking.jsonl").read_text().splitlines()]


def test_what_is_found_has_the_lowest_loss_of_those_that_reached_the_end(whole):
    result, model_dir = whole
    trained = lines(model_dir)
    first, second = ([x for x in trained if x["key"].endswith(f"/{rung}")] for rung in (0, 1))
    # A whole rung is trained before the best half of it goes on.
    assert trained == first + second and len(first) == CANDIDATES and len(second) == 2
    kept = sorted(first, key=lambda line: line["loss"])[:2]
    assert {line["key"][0] for line in kept} == {line["key"][0] for line in second}
    best = min(second, key=lambda line: line["loss"])
    assert load_genotype(result["genotype"]) == load_genotype(best["genotype"])
    assert result["loss"] == best["loss"] and result["miou"] == best["miou"]
    assert load_network_size(result["genotype"]) == (SPACE.filter_multiplier, SIZES)
    assert result["decision"]["finished"] == 2
    assert all(0 < line["seconds_per_step"] < line["seconds"] for line in trained)
    assert result["weight_steps"] == 2 * len(trained)
    assert (model_dir / "architecture.png").exists()
    assert not (model_dir / "candidates").exists()
    shown = EventAccumulator(str(model_dir)).Reload().Tags()["tensors"]  # In TensorBoard.
    assert {"found/miou", "found/loss", "decision/finished"} <= set(shown)


@pytest.mark.whole
def test_an_interrupted_search_ends_the_same(streets, whole, tmp_path, monkeypatch):
    train, calls = trials._Runner._train, []

    def interrupted(*arguments):
        calls.append(0)
        if len(calls) == 6:  # The second network of the second rung.
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(trials._Runner, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(streets, tmp_path)
    assert len(lines(tmp_path)) == 5 and (tmp_path / "candidates").exists()
    again = search(streets, tmp_path)
    assert len(calls) == 7  # One of them was begun twice.
    for name in ("path", "cell", "miou", "loss", "decision"):
        assert again[name] == whole[0][name]


def test_a_rung_goes_on_with_the_weights_and_the_data_of_the_one_before(
    streets, tmp_path, monkeypatch
):
    """Two rungs are one training: its last rung has the loss of a training without a break."""
    starts = []
    stream = RunData.training_stream
    monkeypatch.setattr(
        RunData,
        "training_stream",
        lambda data, position, *rest: starts.append(position) or stream(data, position, *rest),
    )
    search(streets, tmp_path / "parts", candidates=1)
    assert starts == [0, 2 * 2]  # Steps of a rung, images of a step.
    search(streets, tmp_path / "one", candidates=1, rungs=1)
    parts, (one,) = lines(tmp_path / "parts"), lines(tmp_path / "one")
    assert np.mean([line["loss"] for line in parts]) == pytest.approx(one["loss"], rel=1e-5)


def test_networks_fill_a_budget(streets, tmp_path):
    def budget(**options):
        return Budget((33, 49), filter_multiplier=2, multi_adds=0.002, **options)

    result = search(streets, tmp_path, candidates=2, budget=budget)
    filters, sizes = load_network_size(result["genotype"])
    cost = network_cost(load_genotype(result["genotype"]), filters, 8, (33, 49), sizes)
    assert cost.total.multi_adds == pytest.approx(0.002e9, rel=0.3)


def test_rates_that_no_genotype_survives_are_named(streets, tmp_path):
    optimizer = functools.partial(tf.keras.optimizers.legacy.SGD, 1e30)
    with pytest.raises(ValueError, match="lower the rate of the optimizer, remove ranking.jsonl"):
        search(streets, tmp_path, candidates=1, optimizer=lambda total_steps: optimizer())


def test_damage_and_other_settings_are_named(streets, tmp_path):
    search(streets, tmp_path, candidates=1)
    with pytest.raises(ValueError, match="schedule.json"):
        search(streets, tmp_path, candidates=1, share=0.2)
    with pytest.raises(ValueError, match="at least one for each rung"):
        search(streets, tmp_path / "other", steps=1)
    ranking = tmp_path / "ranking.jsonl"
    ranking.write_text(ranking.read_text().replace("miou", "score"))
    with pytest.raises(ValueError, match="ranking.jsonl: the line of .* is damaged"):
        search(streets, tmp_path, candidates=1)

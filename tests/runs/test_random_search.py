"""Random search with early stopping: what is found, what is left of an interruption."""

import functools
import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from adl_tf.runs import random_search
from adl_tf.runs.data import RunData
from adl_tf.runs.random_search import run_random_search
from adl_tf.space.budget import Budget
from adl_tf.space.genotype import load_genotype
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


@pytest.fixture(scope="module")
def whole(streets, tmp_path_factory):
    """A search that nothing stopped, and its directory."""
    model_dir = tmp_path_factory.mktemp("whole")
    return search(streets, model_dir), model_dir


def search(streets, model_dir, candidates=CANDIDATES, **options):
    data = RunData(streets, crop_size=33, batch_size=2, deterministic=True)
    return run_random_search(
        str(model_dir),
        data,
        SPACE,
        SIZES,
        **{"steps": 4, "candidates": candidates, "rungs": 2, "share": 0.5, **options},
    )


def lines(model_dir):
    return [json.loads(line) for line in (model_dir / "ranking.jsonl").read_text().splitlines()]


def test_what_is_found_is_the_best_that_reached_the_end(whole):
    result, model_dir = whole
    trained = lines(model_dir)
    assert len(trained) == CANDIDATES
    finished = [line for line in trained if len(line["mious"]) == 2]
    assert 0 < len(finished) < CANDIDATES
    best = max(finished, key=lambda line: line["mious"][-1])
    assert load_genotype(result["genotype"]) == load_genotype(best["genotype"])
    assert result["miou"] == best["mious"][-1] and result["loss"] == best["losses"][-1]
    assert result["decision"]["finished"] == len(finished) == len(result["best"])
    assert all(0 < line["seconds_per_step"] < line["seconds"] for line in trained)
    assert result["weight_steps"] == sum(2 * len(line["mious"]) for line in trained)
    # Those that were stopped were worse than the median of those before them.
    for index, line in enumerate(trained):
        before = [other["mious"][0] for other in trained[: index + 1]]
        assert (len(line["mious"]) == 2) == (line["mious"][0] >= np.quantile(before, 0.5))
    assert (model_dir / "architecture.png").exists()
    shown = EventAccumulator(str(model_dir)).Reload().Tags()["tensors"]  # In TensorBoard.
    assert {"found/miou", "found/loss", "decision/finished"} <= set(shown)


@pytest.mark.whole
def test_an_interrupted_search_ends_the_same(streets, whole, tmp_path, monkeypatch):
    train, calls = random_search._train, []

    def interrupted(*arguments):
        calls.append(0)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr(random_search, "_train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(streets, tmp_path)
    assert len(lines(tmp_path)) == 2
    again = search(streets, tmp_path)
    assert len(calls) == CANDIDATES + 1  # One of them was begun twice.
    for name in ("path", "cell", "miou", "loss", "decision", "best"):
        assert again[name] == whole[0][name]


def test_genotypes_keep_a_budget(streets, tmp_path):
    def budget(**options):
        return Budget((33, 49), filter_multiplier=2, parameters=0.002, tolerance=0.2, **options)

    search(streets, tmp_path, candidates=2, budget=budget)
    limit = budget(num_classes=8, sizes=SIZES)
    assert all(limit.met_by(load_genotype(line["genotype"])) for line in lines(tmp_path))


def test_each_rung_goes_on_in_the_data(streets, tmp_path, monkeypatch):
    starts = []
    stream = RunData.training_stream
    monkeypatch.setattr(
        RunData,
        "training_stream",
        lambda data, position, *rest: starts.append(position) or stream(data, position, *rest),
    )
    search(streets, tmp_path, candidates=1)
    first, second = starts
    assert first == 0 and second == 2 * 2  # Steps of a rung, images of a step.


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
    ranking.write_text(ranking.read_text().replace("mious", "scores"))
    with pytest.raises(ValueError, match="ranking.jsonl: the line of .* is damaged"):
        search(streets, tmp_path, candidates=1)

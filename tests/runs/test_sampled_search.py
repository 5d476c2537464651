"""Searches by sampled paths: resumed ones equal uninterrupted ones, and what they find fits."""

import json

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.model_directory import RANKING_FILE
from adl_tf.runs.data import RunData
from adl_tf.runs.sampled_search import run_sampled_search
from adl_tf.runs.search_result import decode_search
from adl_tf.space.budget import Budget
from adl_tf.space.genotype import load_genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.search_space import SearchSpace

SPACE = SearchSpace(num_layers=4, num_blocks=2, filter_multiplier=2)
SIZES = NetworkSizes((4, 4, 6), aspp=8, low_level=4, decoder=8)


class Killed(Exception):
    pass


def search(directory, **settings):
    settings = {"steps": 4, "candidates": 6, "checkpoint_steps": 2, **settings}
    return run_sampled_search(
        str(directory),
        data=RunData("synthetic", 33, batch_size=2, seed=3, deterministic=True),
        space=SPACE,
        sizes=SIZES,
        **settings,
    )


def tensors(directory):
    reader = tf.train.load_checkpoint(str(directory))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "save_counter" not in name and "OBJECT_GRAPH" not in name
    }


def ranking(directory):
    with open(directory / RANKING_FILE) as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    return directory, search(directory, keep=3)


def test_result(whole):
    directory, result = whole
    assert result["weight_steps"] == 4
    losses = [line["loss"] for line in ranking(directory)]
    assert len(losses) == 6 and len(set(losses)) > 1
    assert [best["loss"] for best in result["best"]] == sorted(losses)[:3]
    assert result["loss"] == min(losses)
    assert all(len(line["losses"]) == 12 for line in ranking(directory))
    assert result["decision"]["candidates"] == 6
    assert result["decision"]["random_loss"] == pytest.approx(np.median(losses[:3]))
    genotype = load_genotype(result["genotype"])
    assert genotype.to_dict() == {key: result[key] for key in ("path", "cell")}
    SPACE.check_path(genotype.path)
    assert (directory / "architecture.png").exists()


@pytest.mark.whole
def test_killed_runs_end_with_the_same_bits(whole, tmp_path, monkeypatch):
    """Killed after the first checkpoint, after the second one, and among the candidates."""
    from adl_tf.runs import sampled_search
    from adl_tf.training.sampled_model import SampledModel

    train_step, score = SampledModel.train_step, sampled_search.Ranker.score
    steps, scored = [], []

    def dying_step(self, data):
        steps.append(1)
        if len(steps) in (3, 5):
            raise Killed
        return train_step(self, data)

    def dying_score(self, genotype):
        scored.append(1)
        if len(scored) == 4:
            raise Killed
        return score(self, genotype)

    monkeypatch.setattr(SampledModel, "train_step", dying_step)
    monkeypatch.setattr(sampled_search.Ranker, "score", dying_score)
    settings = {"checkpoint_steps": 1}
    for _ in range(3):
        with pytest.raises(Killed):
            search(tmp_path, **settings)
    search(tmp_path, **settings)
    expected, found = tensors(whole[0]), tensors(tmp_path)
    assert expected.keys() == found.keys()
    counters = ("epoch/", "step/", "metrics/")  # Of epochs, which are shorter here.
    changed = [n for n in expected if not np.array_equal(found[n], expected[n])]
    assert [n for n in changed if not n.startswith(counters)] == []
    assert [line["miou"] for line in ranking(tmp_path)] == [
        line["miou"] for line in ranking(whole[0])
    ]


def test_candidates_meet_the_budget(whole, tmp_path):
    budget = Budget((65, 97), 5, 2, multi_adds=0.0027, tolerance=0.1, sizes=SIZES)
    found = []

    def make_budget(num_classes, sizes):
        found.append((num_classes, sizes))
        return budget

    search(tmp_path, budget=make_budget, steps=1)
    assert found[0][1] == SIZES
    for line in ranking(tmp_path):
        assert budget.met_by(load_genotype(line["genotype"]))


def test_other_space(whole):
    with pytest.raises(ValueError, match="different space.json"):
        run_sampled_search(
            str(whole[0]),
            data=RunData("synthetic", 33, batch_size=2, seed=3, deterministic=True),
            space=SearchSpace(num_layers=3, num_blocks=2, filter_multiplier=2),
            sizes=SIZES,
            steps=4,
        )


def test_there_is_nothing_to_decode(whole):
    with pytest.raises(ValueError, match="has no alpha and beta to decode; what it found"):
        decode_search(str(whole[0]))

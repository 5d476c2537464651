"""Tables of measured layers: fitting, and what is kept of them between runs."""

import dataclasses
import itertools
import json
import os
import subprocess

import numpy as np
import pytest
from made_up_latency import made_up

from adl_tf.serving import layer_timing
from adl_tf.serving.layer_timing import (
    Network,
    cache_path,
    describe_machine,
    draw_networks,
    fit_coefficients,
    machine_table,
    measure_table,
    time_networks,
    with_latency,
)
from adl_tf.space.budget import Budget
from adl_tf.space.genotype import Genotype
from adl_tf.space.latency import Coefficients, all_layers
from adl_tf.space.layout import network_layout
from adl_tf.space.network_sizes import NetworkSizes


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """How often this machine was measured; the measurement itself is made up."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    count = itertools.count(1)
    calls = []

    def measure():
        calls.append(next(count))
        return made_up(coefficients=Coefficients(constant=float(len(calls))))

    monkeypatch.setattr(layer_timing, "_measure_apart", measure)
    return calls


def test_measured_once_a_machine(measured, monkeypatch):
    first, second = machine_table(), machine_table()
    assert len(measured) == 1 and first.to_dict() == second.to_dict()
    monkeypatch.setenv("ADL_TF_CORES", "7")  # As another machine.
    assert machine_table().coefficients.constant == 2.0
    monkeypatch.delenv("ADL_TF_CORES")
    assert machine_table().coefficients.constant == 1.0 and len(measured) == 2


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", '{"machine": {}}', "without grids", "not a number"]
)
def test_a_damaged_file_is_measured_again(measured, capsys, damage):
    machine_table()
    path = cache_path(describe_machine())
    with open(path, encoding="utf-8") as file:
        fields = json.load(file)
    if damage == "without grids":
        damage = json.dumps({**fields, "grids": {}})
    if damage == "not a number":
        damage = json.dumps({**fields, "coefficients": {"constant": "much"}})
    with open(path, "w", encoding="utf-8") as file:
        file.write(damage)
    assert machine_table().coefficients.constant == 2.0
    assert len(measured) == 2
    assert machine_table().coefficients.constant == 2.0 and len(measured) == 2


def test_a_cache_that_cannot_be_written_is_done_without(measured, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert machine_table().coefficients.constant == 1.0
    assert "what was measured is not kept" in capsys.readouterr().err


def test_only_budgets_of_milliseconds_measure(measured):
    counted = Budget((33, 49), 3, 4, multi_adds=1.0)
    assert with_latency(counted) is counted and not measured
    timed = dataclasses.replace(counted, multi_adds=None, milliseconds=5.0)
    assert with_latency(timed).latency.coefficients.constant == 1.0
    assert with_latency(with_latency(timed)) == timed and len(measured) == 1


def test_a_measurement_that_fails_says_why(monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nRuntimeError: no processor\n")
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(ValueError, match="cannot be measured .RuntimeError: no processor."):
        layer_timing._measure_apart()


def test_coefficients_are_those_that_made_the_times():
    networks = draw_networks(12, seed=5)
    table = made_up(lanes=16)
    features = np.array([table.features(network_layout(*network)) for network in networks])
    wanted = np.array([0.7, 1.3, 0.002, 0.4])[: features.shape[1]]
    assert fit_coefficients(features, features @ wanted) == pytest.approx(wanted, rel=1e-6)


def test_all_kernels_run(monkeypatch):
    """Each kind, at small sizes, and whole networks: times are numbers above 0."""
    clock = itertools.count()
    monkeypatch.setattr(layer_timing, "_SIZES", ((4, 6),))
    monkeypatch.setattr(layer_timing, "_CHANNELS", (2,))
    monkeypatch.setattr(layer_timing, "_CALIBRATED", 1)
    monkeypatch.setattr(layer_timing, "_COPIES", 1)
    monkeypatch.setattr(layer_timing, "_SECONDS", 0.0)
    monkeypatch.setattr(layer_timing, "_REPEATS", 1)
    ran = []
    monkeypatch.setattr(
        layer_timing, "time_networks", lambda networks, clock: ran.extend(networks) or [5.0]
    )
    table = measure_table(clock=lambda: float(next(clock)))
    assert table.grids.keys() == all_layers().keys() and len(ran) == 1
    assert table.network_milliseconds(network_layout(*ran[0])) == pytest.approx(5.0)


def test_networks_are_timed_in_turns():
    genotype = Genotype((0,), [[(0, "skip_connect"), (1, "max_pool_3x3")]])
    network = Network(genotype, 1, 2, (17, 19), NetworkSizes((1, 1, 1), 1, 1, 1))
    clock = itertools.count()
    assert time_networks([network], lambda: next(clock) / 8, rounds=2) == pytest.approx(125.0)


def test_calibrating_and_judging_networks_differ():
    assert not set(draw_networks(20, seed=0)) & set(draw_networks(20, seed=1))
    assert os.path.basename(cache_path(describe_machine())).startswith("latency_")

"""The trial of a plan: its time, what it measures, and that it is not paid for twice."""

import json
import os

import pytest

from adl_tf.planning import trials
from adl_tf.planning.plan import BASELINE, EVALUATION, EXPORT, SEARCH, TRAINING
from adl_tf.planning.stages import OutOfTime, Stage, State, run_program
from adl_tf.planning.trials import Tried, measure, read_search, trial_limit

# Seconds that each part takes, process and all.
SECONDS = {TRAINING: 20.0, SEARCH: 60.0, EXPORT: 25.0, EVALUATION: 9.0, BASELINE: 15.0}


class Programs:
    """Programs that take no time but say that they did, ended at their limits."""

    def __init__(self, monkeypatch, slow=1.0):
        self.ran, self.slow, self.now = [], slow, 100.0
        monkeypatch.setattr(trials, "run_program", self.run)
        monkeypatch.setattr(trials, "clock", lambda: self.now)
        monkeypatch.setattr(trials, "peak_memory", lambda: 1.5)

    def run(self, stage, label, log, limit, tick):
        name = stage.name.rpartition(" ")[2]
        flags = dict(flag[2:].split("=", 1) for flag in stage.arguments if "gin" not in flag)
        self.ran.append(name)
        tick()
        seconds = self.slow * SECONDS[name]
        self.now += min(seconds, limit)
        os.makedirs(flags["model_dir"], exist_ok=True)
        ended = seconds <= limit
        if name in (TRAINING, BASELINE) and ended:
            write(flags["model_dir"], "metrics.jsonl", epochs(0.2 * self.slow, 0.2 * self.slow))
        if name == SEARCH:
            write(flags["model_dir"], "metrics.jsonl", epochs(0.5, 1.5, 1.5)[: 3 if ended else 2])
            if ended:
                write(flags["model_dir"], "ranking.jsonl", [line(0, 10.0), line(1, 12.0)])
        if not ended:
            raise OutOfTime
        return {}


def epochs(*steps):
    fields = ({"seconds_per_step": step, "validation_seconds": 0.8} for step in steps)
    return [{"epoch": number, **rest} for number, rest in enumerate(fields, 1)]


def line(number, seconds):
    return {"key": f"{number}/0", "seconds": seconds, "seconds_per_step": 0.5}


def write(folder, name, lines):
    with open(os.path.join(folder, name), "w") as file:
        file.writelines(json.dumps(each) + "\n" for each in lines)


@pytest.fixture
def tried(tmp_path):
    configs = {name: str(tmp_path / f"{name}.gin") for name in (TRAINING, SEARCH)}
    for path in configs.values():
        with open(path, "w") as file:
            file.write("SEED = 0\n")
    return Tried(configs, ["--genotype=x"], 257, 161, 0.25, (30, 97), 3.0, 20)


def run(tmp_path, tried, hours):
    state = State(str(tmp_path))
    return measure(state, str(tmp_path / "trials"), tried, hours), State(str(tmp_path))


def test_its_time_is_a_twentieth_or_three_minutes_and_a_third_at_most():
    assert trial_limit(8) == 8 * 180 and trial_limit(1) == 180 and trial_limit(0.3) == 180
    assert trial_limit(0.1) == pytest.approx(120)


def test_everything_is_measured_where_there_is_time(monkeypatch, tmp_path, tried):
    programs = Programs(monkeypatch)
    timings, state = run(tmp_path, tried, 1.0)
    assert programs.ran == [TRAINING, SEARCH, EXPORT, EVALUATION, BASELINE]
    assert state.spent["trial"] == sum(SECONDS.values())
    assert (timings.train_step, timings.validation) == (0.2, 0.2)  # Of four images.
    assert timings.train_start == pytest.approx(20 - 30 * 0.2 - 2 * 0.8)
    assert (timings.export, timings.evaluation_start, timings.baseline_step) == (25, 9, 0.2)
    search = timings.search
    assert (search.weight_step, search.alternating_step) == (0.5, 1.5)
    assert search.candidate_start == pytest.approx(11 - 6 * 0.5)
    assert search.start == pytest.approx(60 - 6 * 3.5 - 3 * 0.8 - 22)
    assert not (tmp_path / "trials").exists()


def test_what_was_measured_is_not_paid_for_again(monkeypatch, tmp_path, tried):
    programs = Programs(monkeypatch)
    first, state = run(tmp_path, tried, 1.0)
    again, later = run(tmp_path, tried, 2.0)
    assert again == first and len(programs.ran) == 5 and later.spent == state.spent
    with open(tried.configs[TRAINING], "a") as file:
        file.write("BATCH_SIZE = 8\n")
    run(tmp_path, tried, 2.0)
    assert len(programs.ran) == 10  # Other settings are another trial.


def test_a_slow_machine_estimates_what_there_is_no_time_for(monkeypatch, tmp_path, tried):
    programs = Programs(monkeypatch, slow=4.0)
    timings, state = run(tmp_path, tried, 1.0)
    assert programs.ran == [TRAINING, SEARCH]  # The search is ended after three minutes.
    assert state.spent["trial"] == pytest.approx(180)
    assert timings.export == 2 * timings.train_start
    assert timings.evaluation_start == timings.train_start and timings.baseline_step is None
    assert timings.search.alternating_step == 1.5 and timings.search.candidate_step > 0


def test_a_search_that_does_not_begin_in_time_is_estimated(monkeypatch, tmp_path, tried):
    programs = Programs(monkeypatch, slow=4.0)
    monkeypatch.setattr(trials, "read_search", lambda *_: None)
    timings, _ = run(tmp_path, tried, 1.0)
    assert timings.search.start == pytest.approx(1.5 * 100) and len(programs.ran) == 2
    assert timings.search.weight_step > timings.train_step
    assert timings.search.alternating_step == 2 * timings.search.weight_step


def test_no_search_is_tried_in_hours_that_cannot_hold_it(monkeypatch, tmp_path, tried):
    programs = Programs(monkeypatch)
    timings, _ = run(tmp_path, tried, 0.1)
    assert SEARCH not in programs.ran and timings.search is None
    assert EXPORT in programs.ran


def test_no_search_is_tried_in_hours_that_cannot_hold_its_training(monkeypatch, tmp_path, tried):
    programs = Programs(monkeypatch)
    timings, _ = run(tmp_path, tried._replace(after_search=(18000, 257)), 1.0)
    assert SEARCH not in programs.ran and timings.search is None  # An hour has 18000 x 0.2 seconds.
    timings, _ = run(tmp_path, tried._replace(after_search=(15000, 257)), 1.0)
    assert SEARCH in programs.ran and timings.search


def test_a_third_of_the_hours_has_to_be_enough_for_a_training(monkeypatch, tmp_path, tried):
    programs = Programs(monkeypatch, slow=20.0)
    with pytest.raises(ValueError, match="--hours=0.05 is too short: a training does not get"):
        run(tmp_path, tried, 0.05)
    assert programs.now == 160.0  # A minute, of three.


def test_a_search_that_did_not_begin_has_no_times(tmp_path):
    assert read_search(str(tmp_path), 10.0, 6, 4) is None


def test_a_program_is_ended_at_its_limit(tmp_path):
    stage = Stage("trial of time", "http.server", ["--bind", "127.0.0.1", "0"])
    with pytest.raises(OutOfTime):
        run_program(stage, "", log=str(tmp_path / "log"), limit=0.5)

"""Faults that nothing would show: a run whose data change goes on as if they had not.

Each is refused in one line that names the ways on, and no file of the run gets another meaning.
"""

import json
import os
import re
import shutil

import commands
import forked
import numpy as np
import pytest
import tensorflow as tf
from tiny_record import decode_mask, with_mask

from adl_tf.runs.data import RunData
from adl_tf.runs.run import reserve

PROGRAMS = ("train", "random_search", "search")


@pytest.fixture(scope="module")
def finished(streets, tmp_path_factory):
    """Makes a run of a program and its records; returns the directory of both and the outcome."""
    root, made = tmp_path_factory.mktemp("finished"), {}

    def make(program):
        if program not in made:
            records = shutil.copytree(streets, root / program / "records")
            arguments = getattr(commands, program)(str(records), str(root / program / "run"))
            made[program] = forked.run(module_of(program), arguments)
            assert made[program].status == 0, made[program].stderr[-3000:]
        return root / program, made[program]

    return make


def module_of(program):
    return "adl_tf.train" if program == "train" else "adl_tf.search"


def shards_of(records, split):
    return sorted(records.glob(f"{split}-*.tfrecord"))


def read_shard(path):
    return [record.numpy() for record in tf.data.TFRecordDataset(str(path))]


def write_shard(path, records):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def describe(records, change):
    path = records / "dataset.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def reorder_classes(records):
    """Two classes change places, as in a class file that is mended."""

    def change(description):
        names = description["class_names"]
        names[0], names[1] = names[1], names[0]

    describe(records, change)


def mend_masks(records, split):
    """Two classes change places in the masks of as many images of the same size."""
    for path in shards_of(records, split):
        swap = np.arange(256, dtype=np.uint8)
        swap[:2] = 1, 0
        write_shard(path, [with_mask(r, swap[decode_mask(r)]) for r in read_shard(path)])


def drop_image(records):
    """One image of the first shard less."""
    path = shards_of(records, "train")[0]
    write_shard(path, read_shard(path)[1:])

    def change(description):
        shard = description["splits"]["train"]["shards"][0]
        shard["examples"] -= 1
        shard["classes"] = shard["classes"][1:]

    describe(records, change)


CHANGES = {
    "classes": (reorder_classes, "class 0 'sky' -> 'building'; class 1 'building' -> 'sky'"),
    "masks of train": (lambda r: mend_masks(r, "train"), "other images or masks in train"),
    "masks of val": (lambda r: mend_masks(r, "val"), "other images or masks in val"),
    "an image less": (drop_image, "train 8 -> 7 examples"),
}
CHEAP = {("train", "classes"), ("train", "masks of val"), ("random_search", "masks of train")}


def contents(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    "program, change",
    [
        pytest.param(
            program,
            change,
            marks=[] if (program, change) in CHEAP else pytest.mark.whole,
        )
        for program in PROGRAMS
        for change in CHANGES
    ],
)
def test_a_run_refuses_other_data(program, change, finished, tmp_path, count):
    made, _ = finished(program)
    root = shutil.copytree(made, tmp_path / "copy")
    records, run = root / "records", root / "run"
    kept = contents(run)
    alter, words = CHANGES[change]
    alter(records)
    # Both one that is done and one that would go on.
    more = {
        "train": "STEPS = 8",
        "random_search": "run_random_search.candidates = 3",
        "search": "EPOCHS = 3",
    }
    for bindings in ((), (more[program],)):
        arguments = getattr(commands, program)(str(records), str(run), *bindings)
        outcome = forked.run(module_of(program), arguments)
        assert f"{run}: the data have changed since this run began ({words})" in outcome.error
        assert "another --model_dir" in outcome.error
        assert (f"--init_from={run}" in outcome.error) == (program == "train")
        assert contents(run) == kept
    count("silent", 2)


def test_a_search_that_was_killed_in_its_first_network_has_begun(streets, tmp_path, count):
    """Nothing is ranked yet, but the network's training would go on."""
    run, data = str(tmp_path / "run"), RunData(streets, 33, 2)
    schedule = data.schedule(4)
    reserve(run, {"schedule.json": schedule})
    state = tmp_path / "run" / "candidates" / "000"
    state.mkdir(parents=True)
    other = {**schedule, "data": {**schedule["data"], "class_names": ["other"] * 8}}
    reserve(run, {"schedule.json": schedule})
    (state / "ckpt-2.index").touch()
    reserve(run, {"schedule.json": schedule})
    with pytest.raises(ValueError, match="the data have changed since this run began"):
        reserve(run, {"schedule.json": other})
    count("silent", 1)


def test_the_same_data_elsewhere_and_in_other_shards_go_on(finished, tmp_path, count):
    made, before = finished("train")
    root = shutil.copytree(made, tmp_path / "copy")
    records = root / "moved"
    os.rename(root / "records", records)
    shards = shards_of(records, "train")
    assert len(shards) > 1
    everything = [record for path in shards for record in read_shard(path)]
    for path in shards[1:]:
        path.unlink()
    write_shard(shards[0], everything)

    def one_shard(description):
        split = description["splits"]["train"]
        first, *rest = split["shards"]
        first["examples"] = len(everything)
        for shard in rest:
            first["classes"] += shard["classes"]
        split["shards"] = [first]

    describe(records, one_shard)
    outcome = forked.run("adl_tf.train", commands.train(str(records), str(root / "run")))
    assert outcome.status == 0, outcome.stderr[-3000:]
    for score in ("val_miou", "best_val_miou", "steps"):
        assert outcome.result[score] == before.result[score]
    count("silent", 1)


def test_a_directory_of_an_earlier_version_goes_on_but_keeps_its_classes(finished, tmp_path, count):
    made, _ = finished("train")
    root = shutil.copytree(made, tmp_path / "copy")
    records, run = root / "records", root / "run"
    schedule = json.loads((run / "schedule.json").read_text())
    del schedule["data"]
    (run / "schedule.json").write_text(json.dumps(schedule))
    arguments = commands.train(str(records), str(run))
    mend_masks(records, "train")  # Not known to that version.
    outcome = forked.run("adl_tf.train", arguments)
    assert outcome.status == 0, outcome.stderr[-3000:]
    kept = contents(run)
    reorder_classes(records)
    assert "class 0 'sky' -> 'building'" in forked.run("adl_tf.train", arguments).error
    assert contents(run) == kept
    count("silent", 2)


def test_an_evaluation_says_that_its_data_are_others(finished, tmp_path, count):
    made, before = finished("train")
    root = shutil.copytree(made, tmp_path / "copy")
    records, run = root / "records", root / "run"
    described = json.loads((run / "run.json").read_text())
    described["dataset_dir"] = str(records)
    (run / "run.json").write_text(json.dumps(described))
    same = forked.run("adl_tf.evaluate", commands.evaluate(str(run)))
    assert same.status == 0 and "has changed" not in same.stderr, same.stderr[-3000:]
    assert same.result["miou"] == before.result["best_val_miou"]
    mend_masks(records, "val")
    other = forked.run("adl_tf.evaluate", commands.evaluate(str(run)))
    assert "warning: split 'val' has changed since the training" in other.stderr
    count("silent", 2)


def test_the_best_score_on_a_step_line_is_that_of_now(finished, count):
    _, outcome = finished("train")
    lines = re.findall(r"step \d+: .*? val_miou: (\S+) - best val_miou: (\S+)", outcome.stderr)
    assert len(lines) == 3
    scores, best = ([float(value) for value in column] for column in zip(*lines))
    np.testing.assert_allclose(best, np.maximum.accumulate(scores), atol=1e-4)
    count("silent", 1)

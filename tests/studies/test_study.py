"""Studies: which trainings run, in which order, and what is left of them."""

import json
import os
import shutil
import time

import pytest
from damage import damages, spoil

from adl_tf.data.description import read_dataset_description
from adl_tf.data.identity import identify
from adl_tf.data.reader import RecordReader
from adl_tf.model_directory import write_versioned
from adl_tf.models.registry import NetworkDescription, write_network_description
from adl_tf.models.trained_on import write_run
from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import PRESETS, Genotype, load_genotype, load_network_size
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.search_space import SearchSpace
from adl_tf.studies import study
from adl_tf.studies.members import (
    Member,
    baseline_members,
    default_path_members,
    known_path_members,
    random_members,
    search_members,
)
from adl_tf.studies.processes import Processes, run_side_by_side
from data_prep import convert_synthetic

SPACE = SearchSpace(num_layers=4, num_blocks=2)
GENOTYPE = Genotype((0, 1), [[(0, "sep_conv_3x3"), (1, "skip_connect")]])


@pytest.fixture
def programs(monkeypatch):
    """Replaces the programs; what they are told is recorded, some are told to fail."""
    calls, failing = [], set()

    def run(program, arguments, model_dir, runner):
        name = os.path.relpath(model_dir, model_dir.split("/study/")[0] + "/study")
        calls.append((program, name, list(arguments)))
        if name in failing:
            raise study.MemberFailure(f"{program} in {model_dir} ended with status 1.")
        os.makedirs(model_dir, exist_ok=True)
        outputs = [a[len("--output=") :] for a in arguments if a.startswith("--output=")]
        if program == "search" or outputs:
            (path,) = outputs or [os.path.join(model_dir, "genotype.json")]
            with open(path, "w") as file:
                json.dump(GENOTYPE.to_dict(), file)
        else:
            (file,) = [a[len("--genotype=") :] for a in arguments if a.startswith("--genotype=")]
            description = NetworkDescription("decoded", 3, load_genotype(file), 4)
            write_network_description(description, model_dir)
        return {"val_miou": 0.25, "seconds": 1.0, "command": ["python"]}

    monkeypatch.setattr(study, "_run", run)
    return calls, failing


def run(directory, *members, seeds=(0,), training=("train.gin", "STEPS = 3"), workers=1):
    return study.run_study(
        str(directory / "study"), training, [lambda: list(members)], (33, 49), seeds, workers
    )


def lines(directory):
    with open(directory / "study" / "members.jsonl") as file:
        return [json.loads(line) for line in file]


def test_each_member_is_trained_once_with_each_seed(programs, tmp_path):
    calls, failing = programs
    members = [Member("a", GENOTYPE), Member("b", GENOTYPE, filter_multiplier=2)]
    failing.add("b/seed_0")
    result = run(tmp_path, *members, seeds=(0, 1))
    assert (result["trainings"], len(result["failed"])) == (4, 1)
    order = ["a/seed_0", "b/seed_0", "a/seed_1", "b/seed_1"]
    assert [name for _, name, _ in calls] == order
    _, _, arguments = calls[3]
    assert "--gin_file=train.gin" in arguments and "--gin_param=STEPS = 3" in arguments
    assert "--gin_param=RunData.seed = 1" in arguments
    assert "--gin_param=RunNetwork.filter_multiplier = 2" in arguments
    # The same command tries what failed, and nothing else.
    failing.clear()
    del calls[:]
    assert run(tmp_path, *members, seeds=(0, 1))["failed"] == []
    assert [name for _, name, _ in calls] == ["b/seed_0"]
    assert sorted(line["training"] for line in lines(tmp_path)) == sorted(order)


def test_a_line_says_what_was_trained_and_what_it_costs(programs, tmp_path):
    run(tmp_path, Member("a", GENOTYPE))
    (line,) = lines(tmp_path)
    assert (line["member"], line["seed"], line["val_miou"]) == ("a", 0, 0.25)
    assert line["genotype"] == GENOTYPE.to_dict()
    assert line["cost"] == network_cost(GENOTYPE, 4, 3, (33, 49)).summary()


def test_several_at_a_time(programs, tmp_path):
    calls, failing = programs
    members = [Member(name, GENOTYPE) for name in "abc"]
    failing.add("b/seed_0")
    result = run(tmp_path, *members, seeds=(0, 1), workers=4)
    assert (result["trainings"], len(result["failed"])) == (6, 1)
    assert len(calls) == 6
    names = {line["training"] for line in lines(tmp_path)}
    assert names == {"a/seed_0", "c/seed_0", "a/seed_1", "b/seed_1", "c/seed_1"}


def test_workers_share_the_cores(tmp_path):
    before = os.sched_getaffinity(0)
    processes = Processes(workers=2)
    # Neither ends before the other has begun.
    program = (
        "import os, sys, time; open(sys.argv[1], 'w').close()\n"
        "while not os.path.exists(sys.argv[2]): time.sleep(0.01)\n"
        "print(*os.sched_getaffinity(0))"
    )

    def task(*names):
        files = [str(tmp_path / name) for name in names]
        status, output = processes.run(["-c", program, *files], str(tmp_path / "log.txt"))
        assert status == 0
        return set(map(int, output.split()))

    tasks = [lambda: task("one", "other"), lambda: task("other", "one")]
    shares = [result() for result in run_side_by_side(tasks, processes)]
    assert set.union(*shares) == before == os.sched_getaffinity(0)
    if len(before) > 1:
        assert not shares[0] & shares[1]


def test_processes_end_with_the_study(tmp_path):
    log = str(tmp_path / "log.txt")
    wait = ["-c", "import time; print('on', flush=True); time.sleep(600)"]
    processes = Processes(workers=2)

    def fail():
        while not processes._running:
            time.sleep(0.01)
        raise KeyboardInterrupt

    tasks = [lambda: processes.run(wait, log), fail]
    with pytest.raises(KeyboardInterrupt):
        for result in run_side_by_side(tasks, processes):
            result()
    assert not processes._running


def test_report(programs, tmp_path):
    members = [Member("a <b>", GENOTYPE), Member("c", GENOTYPE, filter_multiplier=2)]
    result = run(tmp_path, *members, seeds=(0, 1))
    with open(result["report"]) as file:
        page = file.read()
    assert "a &lt;b&gt;" in page and "<b>a" not in page
    assert page.count("python") >= 5  # The study, and each training.
    assert "25.00 %" in page and "sep_conv_3x3(0) + skip_connect(1)" in page


def test_a_search_comes_before_the_training_of_what_it_finds(programs, tmp_path):
    calls, _ = programs
    (member,) = search_members("paper", ["camvid_search.gin", "EPOCHS = 2"], seeds=[3])
    run(tmp_path, member)
    (search, name, arguments), (train, _, training) = calls
    assert (search, name, train) == ("search", "paper_3/search", "train")
    assert "--gin_param=RunData.seed = 3" in arguments and "--gin_param=EPOCHS = 2" in arguments
    (file,) = [a[len("--genotype=") :] for a in training if a.startswith("--genotype=")]
    assert load_genotype(file) == GENOTYPE
    assert lines(tmp_path)[0]["search"]["val_miou"] == 0.25


def test_what_a_search_found_is_trained_at_its_f(programs, tmp_path, monkeypatch):
    calls, _ = programs
    sizes = NetworkSizes(aspp=8).to_dict()
    found = {**GENOTYPE.to_dict(), "filter_multiplier": 7, "sizes": sizes}
    monkeypatch.setattr(study, "read_json", lambda path: found)
    run(tmp_path, *search_members("search", ["search.gin"], [3]))
    _, (_, _, training) = calls
    assert "--gin_param=RunNetwork.filter_multiplier = None" in training
    (file,) = [a[len("--genotype=") :] for a in training if a.startswith("--genotype=")]
    assert load_network_size(file) == (7, NetworkSizes(aspp=8))


def test_what_cannot_be_one_study(programs, tmp_path):
    with pytest.raises(ValueError, match="more than one member is called 'a'"):
        run(tmp_path, Member("a", GENOTYPE), Member("a", GENOTYPE))
    run(tmp_path, Member("a", GENOTYPE))
    with pytest.raises(ValueError, match="different study.json"):
        run(tmp_path, Member("a", GENOTYPE), training=("train.gin", "STEPS = 4"))


def test_random_members_cost_the_same():
    members = random_members(12, 4, 3, (64, 96), space=SPACE)
    costs = [network_cost(m.genotype, 4, 3, (64, 96)).cells.multi_adds for m in members]
    assert max(costs) / min(costs) < 1.03 / 0.97
    assert len({member.genotype for member in members}) == 12
    assert members == random_members(12, 4, 3, (64, 96), space=SPACE)
    assert members[3].name == "random_03"


def test_named_members():
    paths = {member.genotype.path for member in default_path_members(3, space=SPACE)}
    assert paths == {(0, 0, 0, 0)}
    (deeplab,) = known_path_members({"deeplabv3": 5})
    assert deeplab.genotype.cell == PRESETS["auto_deeplab"].cell
    assert deeplab.filter_multiplier == 5
    with pytest.raises(ValueError, match=r"unknown \['deeplabv9'\]; choose from"):
        known_path_members({"deeplabv9": 5})
    (baseline,) = baseline_members({"deeplab_v3_plus_resnet50": 0.25})
    assert (baseline.network, baseline.width) == ("deeplab_v3_plus_resnet50", 0.25)


def test_other_data_are_refused(programs, tmp_path):
    """Trainings that are done count, and two of one study belong to one data set."""
    calls, _ = programs
    members = [Member("a", GENOTYPE), Member("b", GENOTYPE)]
    run(tmp_path, *members)
    records = tmp_path / "records"

    def convert(num_train):
        convert_synthetic.build(str(records), num_train=num_train, num_val=1, height=32, width=48)
        return identify([RecordReader(records, split) for split in ("train", "val")], 1)

    def note(member, identity):
        model_dir = tmp_path / "study" / member / "seed_0"
        write_versioned({"data": identity.to_dict()}, str(model_dir / "schedule.json"))
        write_run(str(model_dir), str(records), read_dataset_description(records))

    first = convert(2)
    note("a", first)
    run(tmp_path, *members)  # Of b an earlier version kept nothing.
    shutil.rmtree(records)
    second = convert(3)
    with pytest.raises(ValueError, match="study/a/.*train 2 -> 3 examples.*another --study_dir"):
        run(tmp_path, *members)
    note("b", second)
    shutil.rmtree(records)
    with pytest.raises(ValueError, match="study/b/.*train 3 -> 2 examples"):
        run(tmp_path, *members)
    note_of_a = convert(2)
    note("b", note_of_a)
    shutil.rmtree(records)  # Then what is done stays readable.
    assert run(tmp_path, *members)["trainings"] == 2
    assert len(calls) == 2


def test_damaged_notes_are_named_or_done_without(programs, tmp_path):
    run(tmp_path, Member("one", GENOTYPE))
    for file in ("members.jsonl", "study.json"):
        path = tmp_path / "study" / file
        content = path.read_bytes()
        for name, damage in damages(file, content):
            spoil(path, damage(content))
            try:
                run(tmp_path, Member("one", GENOTYPE))
            except (ValueError, OSError) as error:
                assert file in str(error), f"{name}: {error}"
            path.write_bytes(content)

"""A whole run: which stages run, in which order, what is left of them, and what is refused.

Conversion, fingerprint, plan and report are real; searches, trainings, evaluations and exports are
replaced, since other tests run them.
"""

import json
import os

import numpy as np
import pytest
import quick_stages
from damage import damages, spoil
from PIL import Image
from quick_stages import Clock, convert_here, make_folder, replace_stages

from adl_tf.planning import auto, stages
from adl_tf.space.genotype import load_network_size
from adl_tf.system.interrupts import Interrupted

COMPARED = ["other", "baseline"]


@pytest.fixture
def programs(monkeypatch):
    """Replaces what takes long; returns the stages that ran, and those that are to fail."""
    ran, failing = [], {}
    replace_stages(monkeypatch.setattr, ran, failing, convert_here)
    return ran, failing


def test_from_a_folder_to_a_report(programs, tmp_path, capsys):
    ran, _ = programs
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    result = auto.run_auto(str(folder), str(out), hours=1.0)
    assert ran == ["search", "train", "evaluate", "export", *COMPARED]
    assert result["miou"] == 0.5 and result["export"] == str(out / "export")
    report = (out / "report.html").read_text()
    assert "&lt;b&gt;object" in report and "<b>object" not in report
    for part in (
        "adl_tf.search",
        "adl_tf.export",
        "crop_size",
        "planned",
        "sep_conv_3x3",
        "takes 63 ms",
        "no better than random ones",
        "MobileNetV3",
        "from the weights of &#x27;camvid&#x27;",
        "--formats=tflite --image_size=40,60",
    ):
        assert part in report
    card = (out / "export" / "README.md").read_text()
    assert "50.0 %" in card and "license" in card and "| back |" in card
    messages = capsys.readouterr().err
    assert "[1 of 1] convert" in messages and "[4 of 6] export" in messages
    assert "back" in messages and "24 images" in messages and "PNG, RGB" in messages
    assert (out / "classes.png").exists() and (out / "examples.png").exists()
    auto.run_auto(str(folder), str(out), hours=1.0)
    assert len(ran) == 6  # Nothing was done again.


@pytest.mark.parametrize("iou, warned", [(0.0, True), (0.3, False), (None, False)])
def test_a_class_that_is_not_found_is_said(programs, tmp_path, monkeypatch, capsys, iou, warned):
    monkeypatch.setattr(quick_stages, "CLASS_IOU", iou)
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    auto.run_auto(str(folder), str(out), hours=1.0)
    assert ("warning: The network hardly finds <b>object</b>" in capsys.readouterr().err) == warned
    assert ("hardly finds &lt;b&gt;object" in (out / "report.html").read_text()) == warned
    assert ("hardly finds" in (out / "export" / "README.md").read_text()) == warned


def test_what_was_interrupted_goes_on(programs, tmp_path):
    ran, failing = programs
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    failing["train"] = Interrupted("stopped")
    with pytest.raises(Interrupted):
        auto.run_auto(str(folder), str(out), hours=1.0)
    assert ran == ["search", "train"] and not (out / "report.html").exists()
    failing.clear()
    auto.run_auto(str(folder), str(out), hours=1.0)
    assert ran == ["search", "train", "train", "evaluate", "export", *COMPARED]


def test_a_plan_can_be_edited_and_given_back(programs, tmp_path):
    ran, _ = programs
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    assert auto.run_auto(str(folder), str(out), 1.0, plan_only=True) == {"plan": str(out / "plan")}
    assert not ran
    edited = (out / "plan" / "train.gin").read_text().replace("SEED = 0", "SEED = 5")
    (out / "plan" / "train.gin").write_text(edited)
    auto.run_auto(str(folder), str(out), 1.0)
    assert (out / "plan" / "train.gin").read_text() == edited
    with pytest.raises(ValueError, match="planned with --multi_adds=None"):
        auto.run_auto(str(folder), str(out), 1.0, multi_adds=3.0)


def test_other_hours_before_the_first_training_are_refused(programs, tmp_path):
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    auto.run_auto(str(folder), str(out), 1.0, plan_only=True)
    with pytest.raises(ValueError, match="planned with --hours=1, which are not over"):
        auto.run_auto(str(folder), str(out), 8.0)


def test_results_inside_the_folder_and_a_wrong_folder_first(programs, tmp_path):
    ran, _ = programs
    folder, wrong = make_folder(tmp_path / "in"), tmp_path / "wrong"
    wrong.mkdir()
    out = folder / "run"
    with pytest.raises(ValueError):
        auto.run_auto(str(wrong), str(out), hours=1.0)
    auto.run_auto(str(folder), str(out), hours=1.0)
    auto.run_auto(str(folder), str(out), hours=1.0)
    assert len(ran) == 6


def test_more_hours_train_on(programs, tmp_path):
    ran, _ = programs
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    auto.run_auto(str(folder), str(out), hours=1.0)
    result = auto.run_auto(str(folder), str(out), hours=2.0)
    assert ran[6:] == ["train_2", "evaluate_2", "export_2"]
    assert result["network"] == str(out / "train_2")
    state = json.loads((out / "auto.json").read_text())
    command = state["stages"]["train_2"]["command"]
    assert f"--init_from={out / 'train'}" in command and state["hours"] == 2.0
    (steps,), fixed, first = state["extensions"], state["train_fixed"], state["stages"]["train"]
    # A further training starts and validates, too.
    seconds = fixed + steps * (first["seconds"] - fixed) / first["result"]["steps"]
    assert 0.9 * 3600 < seconds < 3600 and fixed > 10
    auto.run_auto(str(folder), str(out), hours=2.0)
    assert len(ran) == 9


def total(out):
    state = json.loads((out / "auto.json").read_text())
    return sum(state["spent"].values()), state


@pytest.mark.parametrize("pace", [0.5, 0.8, 1.0, 1.15])
def test_the_hours_are_used_and_kept_whatever_the_pace(monkeypatch, tmp_path, pace):
    ran = []
    replace_stages(monkeypatch.setattr, ran, {}, convert_here, Clock(pace))
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    auto.run_auto(str(folder), str(out), hours=1.0)
    seconds, _ = total(out)
    assert 0.8 * 3600 < seconds < 1.1 * 3600
    assert ("train_2" in ran) == (pace < 0.9)
    # What to compare with goes first where the time has run out.
    assert set(COMPARED) <= set(ran) or pace > 1


def test_a_training_gets_what_the_search_has_left(monkeypatch, tmp_path):
    clock = Clock()
    replace_stages(monkeypatch.setattr, [], {}, convert_here, clock)
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    auto.run_auto(str(folder), str(out), hours=1.0, plan_only=True)
    planned = json.loads((out / "plan" / "plan.json").read_text())
    clock.pace = 0.1
    run = stages.run_program

    def slower_after_the_search(stage, *rest, **options):
        if stage.name == "train":
            clock.pace = 1.0
        return run(stage, *rest, **options)

    monkeypatch.setattr(stages, "run_program", slower_after_the_search)
    auto.run_auto(str(folder), str(out), hours=1.0)
    made = json.loads((out / "plan" / "plan.json").read_text())
    more = 0.9 * planned["seconds"]["search"]
    assert made["seconds"]["train"] - planned["seconds"]["train"] == pytest.approx(more, rel=0.1)
    assert f"STEPS = {made['train_steps']}\n" in (out / "plan" / "train.gin").read_text()


@pytest.mark.parametrize(
    "wishes, start, flag",
    [
        ({"search": "off"}, "preset", "--init_from=camvid"),
        ({"preset": "camvid"}, "preset", "--init_from=camvid"),
        ({"genotype": "auto_deeplab"}, "genotype", None),
    ],
)
def test_without_a_search(programs, tmp_path, wishes, start, flag):
    ran, _ = programs
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    auto.run_auto(str(folder), str(out), hours=1.0, **wishes)
    assert ran[:3] == ["train", "evaluate", "export"]
    _, state = total(out)
    assert state["plan"]["start"] == start
    command = state["stages"]["train"]["command"]
    assert (flag or "") in command and ("--init_from" in command) == bool(flag)
    assert load_network_size(str(out / "plan" / "genotype.json"))[0] > 1
    report = (out / "report.html").read_text()
    assert "The architecture" not in report and "<h2>Search</h2>\n<p>None: " in report
    assert not (out / "plan" / "search.gin").exists()
    with pytest.raises(ValueError, match="planned with --search="):
        auto.run_auto(str(folder), str(out), hours=1.0, search="on")


def test_wishes_that_exclude_each_other(programs, tmp_path):
    folder = make_folder(tmp_path / "in")
    for wishes, message in (
        ({"search": "on", "preset": "camvid"}, "leave one of them out"),
        ({"genotype": "auto_deeplab", "preset": "camvid"}, "leave one out"),
        ({"search": "maybe"}, "choose from auto, on, off"),
        ({"preset": "mars"}, "there are: camvid"),
        ({"genotype": "nowhere.json"}, "neither a file nor a preset"),
    ):
        with pytest.raises(ValueError, match=message):
            auto.run_auto(str(folder), str(tmp_path / "out"), **wishes)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda root: [p.unlink() for p in root.glob("images/*")], "no images there"),
        (lambda root: [p.unlink() for p in root.glob("masks/*")], "masks"),
        (lambda root: (root / "classes.txt").unlink(), "classes.txt: missing"),
    ],
)
def test_folders_that_cannot_be_used(programs, tmp_path, spoil, message):
    folder = make_folder(tmp_path / "in")
    spoil(folder)
    with pytest.raises(ValueError, match=message):
        auto.run_auto(str(folder), str(tmp_path / "out"))
    assert not programs[0]


def test_one_class_is_not_enough(programs, tmp_path):
    folder = make_folder(tmp_path / "in")
    for path in folder.glob("masks/*"):
        Image.new("L", (60, 40)).save(path)
    with pytest.raises(ValueError, match="show 1 of the 2 classes; segmentation needs two"):
        auto.run_auto(str(folder), str(tmp_path / "out"))


def test_one_image_cannot_be_divided(programs, tmp_path):
    folder = make_folder(tmp_path / "in", count=1)
    with pytest.raises(ValueError, match="no images for val"):
        auto.run_auto(str(folder), str(tmp_path / "out"))


def test_hours_too_few_are_refused_before_they_are_spent(programs, tmp_path):
    folder = make_folder(tmp_path / "in")
    with pytest.raises(ValueError, match="--hours=0.01 is too short: .* takes 0.0.* hours"):
        auto.run_auto(str(folder), str(tmp_path / "out"), hours=0.01)
    auto.run_auto(str(folder), str(tmp_path / "out"), hours=1.0)  # The same directory, more hours.


def test_a_folder_that_changes_is_refused(programs, tmp_path):
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    auto.run_auto(str(folder), str(out), hours=1.0, plan_only=True)
    (folder / "images" / "0.png").unlink()
    with pytest.raises(ValueError, match="has changed since it was converted"):
        auto.run_auto(str(folder), str(out), hours=1.0)
    other = make_folder(tmp_path / "other")
    with pytest.raises(ValueError, match="holds the run of"):
        auto.run_auto(str(other), str(out), hours=1.0)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        auto.run_auto(str(tmp_path / "nowhere"), str(out))


def test_a_folder_of_as_many_bytes_but_other_contents_is_refused(programs, tmp_path):
    """Classes in another order, and a mask that is mended."""
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    auto.run_auto(str(folder), str(out), hours=1.0, plan_only=True)
    for path in (folder / "classes.txt", folder / "masks" / "3.png"):
        content = path.read_bytes()
        path.write_bytes(content[::-1])
        with pytest.raises(ValueError, match="has changed since it was converted"):
            auto.run_auto(str(folder), str(out), hours=1.0)
        path.write_bytes(content)
    (folder / "classes.txt").touch()
    auto.run_auto(str(folder), str(out), hours=1.0, plan_only=True)


@pytest.mark.parametrize("given", ["records", "folder"])
def test_records_that_change_are_refused(given, programs, tmp_path):
    ran, _ = programs
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    if given == "records":
        flags = {"input_dir": str(folder), "output_dir": str(tmp_path / "records")}
        convert_here("data_prep.convert_folder", flags)
        folder = tmp_path / "records"
    auto.run_auto(str(folder), str(out), hours=1.0)
    path = (folder if given == "records" else out / "records") / "dataset.json"
    content = json.loads(path.read_text())
    content["class_names"].reverse()
    path.write_text(json.dumps(content))
    report = (out / "report.html").read_bytes()
    for hours in (1.0, 2.0):
        with pytest.raises(ValueError, match="have changed .*class 0 'back' -> '<b>object</b>'"):
            auto.run_auto(str(folder), str(out), hours=hours)
    assert len(ran) == 6 and (out / "report.html").read_bytes() == report


def test_no_room_is_said_before_anything_is_converted(programs, tmp_path, monkeypatch):
    folder = make_folder(tmp_path / "in")
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(auto.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ValueError, match="make room"):
        auto.run_auto(str(folder), str(tmp_path / "out"))


def test_damaged_notes_are_named_or_done_without(programs, tmp_path):
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    auto.run_auto(str(folder), str(out), hours=1.0)
    path = out / stages.STATE_FILE
    content = path.read_bytes()
    for name, damage in damages(path.name, content):
        spoil(path, damage(content))
        try:
            auto.run_auto(str(folder), str(out), hours=1.0)
        except (ValueError, OSError) as error:
            assert path.name in str(error), f"{name}: {error}"
        path.write_bytes(content)


def test_a_stage_that_fails_is_one_error_line(tmp_path):
    stage = stages.Stage("trial of search", "json.tool", ["/no/such.json"])  # A quick one.
    log = tmp_path / "search.log"
    with pytest.raises(ValueError, match="trial of search: .*/no/such.json.*; its messages are in"):
        stages.run_program(stage, "", log=str(log))
    with pytest.raises(stages.StageFailure, match="Stopped in 'trial of search'; the same command"):
        stages.run_program(stage, "")


def test_a_fault_of_a_stage_is_named_by_its_exception(tmp_path, monkeypatch):
    """Not by what follows it: gin adds the call, and a progress bar an empty line."""
    broken = "raise TypeError('no such thing\\n  In call to configurable \\'run\\'\\n')"
    (tmp_path / "broken.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    stage = stages.Stage("trial of train", "broken", [])
    with pytest.raises(ValueError, match="^trial of train: TypeError: no such thing; its messages"):
        stages.run_program(stage, "", log=str(tmp_path / "train.log"))


def test_flags_of_the_converter_are_handed_on(programs, tmp_path, capsys):
    """Masks of 7 and 9 with one that is damaged, half of the images to score."""
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    for path in folder.glob("masks/*"):
        values = np.where(np.asarray(Image.open(path)) == 1, 9, 7).astype(np.uint8)
        Image.fromarray(values).save(path)
    (folder / "masks" / "3.png").write_bytes(b"damaged")
    options = {"mask_values": ["7", "9"], "val_fraction": 0.5, "max_errors": 1}
    result = auto.run_auto(str(folder), str(out), 1.0, plan_only=True, conversion=options)
    assert result == {"plan": str(out / "plan")}
    command = json.loads((out / "auto.json").read_text())["stages"]["convert"]["command"]
    assert "--mask_values=7,9 --val_fraction=0.5 --max_errors=1" in command
    with open(out / "records" / "dataset.json") as file:
        splits = json.load(file)["splits"]
    counts = {name: sum(s["examples"] for s in split["shards"]) for name, split in splits.items()}
    assert sum(counts.values()) == 29 and counts["val"] in (14, 15)
    assert splits["train"]["class_pixels"][0] == splits["train"]["class_pixels"][1] > 0
    with pytest.raises(ValueError, match="converted with --mask_values=7,9 .*; give the same"):
        auto.run_auto(str(folder), str(out), 1.0, plan_only=True)
    with pytest.raises(ValueError, match="--val_sequence: the folder is read by convert_folder"):
        auto.run_auto(str(folder), str(tmp_path / "2"), 1.0, conversion={"val_sequence": "0006R0"})
    with pytest.raises(ValueError, match="records already: leave out --mask_values=0,1"):
        records = {"mask_values": [0, 1]}
        auto.run_auto(str(out / "records"), str(tmp_path / "3"), 1.0, conversion=records)


def test_masks_of_0_and_255_are_recognized(programs, tmp_path, capsys):
    folder, out = make_folder(tmp_path / "in"), tmp_path / "out"
    for path in folder.glob("masks/*"):
        values = np.asarray(Image.open(path)) * np.uint8(255)
        Image.fromarray(values).save(path)
    auto.run_auto(str(folder), str(out), 1.0, plan_only=True)
    assert "they are read with --mask_values=0,255" in capsys.readouterr().err
    with open(out / "records" / "dataset.json") as file:
        split = json.load(file)["splits"]["train"]
    assert split["class_pixels"] == [24 * 1200, 24 * 1200] and split["ignored_pixels"] == 0


@pytest.mark.parametrize(
    "limit, given, side",
    [(200, {}, 200), (200, {"short_side": 0}, 400), (300, {}, 400)],
    ids=["much larger", "kept by the user", "little larger"],
)
def test_images_are_no_larger_than_the_hours_can_use(
    programs, tmp_path, monkeypatch, capsys, limit, given, side
):
    monkeypatch.setattr(auto, "usable_short_side", lambda hours: limit)
    folder, out = make_folder(tmp_path / "in", count=24, times=10), tmp_path / "out"
    auto.run_auto(str(folder), str(out), 0.25, conversion=given)
    sizes = json.loads((out / "fingerprint.json").read_text())["sizes"]
    assert sizes["train"][1] == [side, 1.5 * side]
    shrunk = side < 400
    assert ("are stored with --short_side=200" in capsys.readouterr().err) == shrunk
    for page in (out / "report.html", out / "export" / "README.md"):
        assert ("--scale=training" in page.read_text()) == shrunk

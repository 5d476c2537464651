"""Every file of a model directory, a data set and an export: cut, emptied, changed, deleted, wrong.

Whoever reads it either does without, or ends in one line that names the file or its directory.
"""

import itertools
import json
import os
import shutil

import commands
import forked
import pytest

# Every how many of the cases the short suite runs.
SHORT = 40


def cut(content):
    return content[: len(content) // 2]


def emptied(content):
    return b""


def changed(content):
    """The middle of it inverted."""
    start, end = len(content) // 3, 2 * len(content) // 3 + 1
    return content[:start] + bytes(255 - byte for byte in content[start:end]) + content[end:]


def wrong_types(content):
    """JSON whose values have other types: numbers for texts, texts for numbers."""

    def swap(value):
        if isinstance(value, dict):
            return {key: swap(item) for key, item in value.items()}
        if isinstance(value, list):
            return {"0": swap(value[0])} if value else 7
        return 7 if isinstance(value, str) else "seven"

    try:
        lines = [json.loads(line) for line in content.splitlines()]
        return "\n".join(json.dumps(swap(line)) for line in lines).encode()
    except ValueError:
        return json.dumps(swap(json.loads(content))).encode()


def other_kind(content):
    return b"[]"


def damages(file):
    """What is done to a file; None deletes it."""
    any_file = (cut, emptied, changed, None)
    return (*any_file, wrong_types, other_kind) if ".json" in file else any_file


@pytest.fixture(scope="module")
def directories(streets, tmp_path_factory):
    """A data set, a training, a search and an export, each in a folder of its own."""
    root = tmp_path_factory.mktemp("whole")
    found = {name: str(root / name) for name in ("records", "train", "search", "sampled", "export")}
    shutil.copytree(streets, found["records"])
    data = found["records"]
    for outcome in (
        forked.run("adl_tf.train", commands.train(data, found["train"])),
        forked.run("adl_tf.search", commands.search(data, found["search"])),
        forked.run("adl_tf.search", commands.sampled_search(data, found["sampled"])),
        forked.run(
            "adl_tf.export", [f"--model_dir={found['train']}", f"--output_dir={found['export']}"]
        ),
    ):
        assert outcome.status == 0, outcome.stderr[-3000:]
    return root, found


def readers(kind, root):
    """The programs that read a directory, as (module, arguments)."""
    paths = {name: str(root / name) for name in ("records", "train", "search", "sampled", "export")}
    data, out = paths["records"], str(root / "out")
    image = os.path.join(os.path.dirname(__file__), "photo.png")
    by_kind = {
        "records": [
            ("adl_tf.train", commands.train(data, out)),
            ("adl_tf.evaluate", [*commands.evaluate(paths["train"]), f"--output_dir={out}"]),
        ],
        "train": [
            ("adl_tf.train", commands.train(data, paths["train"], "STEPS = 8")),
            ("adl_tf.evaluate", [*commands.evaluate(paths["train"]), f"--output_dir={out}"]),
            ("adl_tf.export", [f"--model_dir={paths['train']}", f"--output_dir={out}"]),
        ],
        "search": [
            ("adl_tf.search", commands.search(data, paths["search"], "EPOCHS = 3")),
            ("adl_tf.decode", [f"--model_dir={paths['search']}"]),
        ],
        "sampled": [("adl_tf.search", commands.sampled_search(data, paths["sampled"]))],
        "export": [
            ("adl_tf.predict", [f"--export_dir={paths['export']}", f"--output_dir={out}", image])
        ],
    }
    return by_kind[kind]


def files_in(directory):
    """Relative paths; pictures and logs, which nothing reads, are left out."""
    for folder, _, names in os.walk(directory):
        for name in sorted(names):
            if not name.endswith((".png", ".html", ".lock")) and "tfevents" not in name:
                yield os.path.relpath(os.path.join(folder, name), directory)


def all_cases(files, num_readers):
    """(file, damage, reader): all read descriptions, and take turns with what is binary."""
    turns = itertools.cycle(range(num_readers))
    for file in files:
        for damage in damages(file):
            for reader in range(num_readers) if ".json" in file else [next(turns)]:
                yield file, damage, reader


@pytest.mark.parametrize("kind", ["records", "train", "search", "sampled", "export"])
def test_damaged_files(kind, directories, tmp_path, request, count):
    whole, paths = directories
    cases = list(all_cases(files_in(paths[kind]), len(readers(kind, tmp_path))))
    if not request.config.getoption("all_faults"):
        cases = cases[::SHORT]
    failures = []
    for file, damage, index in cases:
        root = tmp_path / "copy"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(whole, root)
        for path in files_in(root):  # Files that name the directory.
            if path.endswith("run.json"):
                content = (root / path).read_text().replace(str(whole), str(root))
                (root / path).write_text(content)
        path = os.path.join(root, kind, file)
        with open(path, "rb") as stream:
            content = stream.read()
        os.remove(path)
        if damage:
            with open(path, "wb") as stream:
                stream.write(damage(content))
        module, arguments = readers(kind, root)[index]
        text = f"{kind}/{file} {damage.__name__ if damage else 'deleted'}, {module}"
        outcome = forked.run(module, arguments)
        try:
            if outcome.status != 0:
                message = outcome.error
                named = os.path.basename(file) in message or str(root / kind) in message
                assert named, f"does not say where: {message}"
            assert "Traceback" not in outcome.stderr, outcome.stderr[-1500:]
            if ".index" in file or ".data" in file or file == "checkpoint":
                assert "Writing to" not in outcome.stderr, "it starts over"
        except AssertionError as error:
            failures.append(f"{text}: {str(error)[-700:]}")
    count("damaged files", len(cases) - len(failures))
    assert not failures, f"{len(failures)} of {len(cases)}\n" + "\n".join(failures)

"""Every file of a model directory, a data set and an export: cut, emptied, changed, deleted, wrong.

Whoever reads it either does without, or ends in one line that names the file or its directory.
"""

import functools
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


def deleted(content):
    return None


def wrong_types(content):
    """JSON whose values all have other types."""
    return encoded([other_type(line) for line in decoded(content)])


def other_kind(content):
    return b"[]"


def wrong_value(content, place):
    """JSON of which one value has another type."""
    *parents, last = place
    lines = decoded(content)
    holder = functools.reduce(lambda value, key: value[key], parents, lines)
    holder[last] = other_type(holder[last])
    return encoded(lines)


def missing_value(content, place):
    """JSON that lacks one value."""
    *parents, last = place
    lines = decoded(content)
    del functools.reduce(lambda value, key: value[key], parents, lines)[last]
    return encoded(lines)


def decoded(content):
    """The values of a JSON file, or of one of lines of JSON."""
    try:
        return [json.loads(line) for line in content.splitlines()]
    except ValueError:
        return [json.loads(content)]


def encoded(lines):
    return "\n".join(map(json.dumps, lines)).encode()


def other_type(value):
    """Numbers for texts, texts for numbers, in lists and dicts as well."""
    if isinstance(value, dict):
        return {key: other_type(item) for key, item in value.items()}
    if isinstance(value, list):
        return {"0": other_type(value[0])} if value else 7
    return 7 if isinstance(value, str) else "seven"


def places(value, place=()):
    """The keys that lead to each value below a value, of lists to the first one alone."""
    inside = value.items() if isinstance(value, dict) else []
    if isinstance(value, list):
        inside = enumerate(value[:1])
    for key, item in inside:
        yield (*place, key)
        yield from places(item, (*place, key))


def damages(file, content):
    """(name, function of the content, whether each reader has to see it) of what a file suffers."""
    description = ".json" in file
    for damage in (cut, emptied, changed, deleted):
        yield damage.__name__, damage, description
    if description:
        for damage in (wrong_types, other_kind):
            yield damage.__name__, damage, True
        for place in places(decoded(content)[:1]):
            for damage in (wrong_value, missing_value):
                if len(place) > 1:
                    name = f"{damage.__name__} {'.'.join(map(str, place[1:]))}"
                    yield name, functools.partial(damage, place=place), False


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


def all_cases(directory, num_readers):
    """(file, damage, function, reader): those that not all readers see take turns with them."""
    turns = itertools.cycle(range(num_readers))
    for file in files_in(directory):
        with open(os.path.join(directory, file), "rb") as stream:
            content = stream.read()
        for name, damage, by_all in damages(file, content):
            for reader in range(num_readers) if by_all else [next(turns)]:
                yield file, name, damage, reader


@pytest.mark.parametrize("kind", ["records", "train", "search", "sampled", "export"])
def test_damaged_files(kind, directories, tmp_path, request, count):
    whole, paths = directories
    cases = list(all_cases(paths[kind], len(readers(kind, tmp_path))))
    if not request.config.getoption("all_faults"):
        cases = cases[::SHORT]
    failures = []
    for file, name, damage, index in cases:
        root = tmp_path / "copy"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(whole, root)
        for path in files_in(root):  # Files that name the directory.
            if path.endswith("run.json"):
                content = (root / path).read_text().replace(str(whole), str(root))
                (root / path).write_text(content)
        path = os.path.join(root, kind, file)
        with open(path, "rb") as stream:
            content = damage(stream.read())
        os.remove(path)
        if content is not None:
            with open(path, "wb") as stream:
                stream.write(content)
        module, arguments = readers(kind, root)[index]
        text = f"{kind}/{file} {name}, {module}"
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

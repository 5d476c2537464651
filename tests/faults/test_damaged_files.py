"""Every file of a model directory, a data set and an export: cut, emptied, changed, deleted, wrong.

Whoever reads it either does without, or ends in one line that names the file or its directory.
"""

import os
import random
import shutil

import commands
import forked
import pytest
from damage import damages, spoil

KINDS = ("records", "train", "search", "random", "export")
# Half of the damages of a file are drawn, one in so many of single values, the same each time; of
# all these the short suite runs one in so many.
VALUES, SHORT = 40, 12


@pytest.fixture(scope="module")
def whole(streets, tmp_path_factory):
    """Makes the directory of a kind, beside those that its readers need."""
    root = tmp_path_factory.mktemp("whole")
    paths = {name: str(root / name) for name in KINDS}
    data = shutil.copytree(streets, paths["records"])
    programs = {
        "train": ("adl_tf.train", commands.train(data, paths["train"])),
        "search": ("adl_tf.search", commands.search(data, paths["search"])),
        "random": ("adl_tf.search", commands.random_search(data, paths["random"])),
        "export": (
            "adl_tf.export",
            [f"--model_dir={paths['train']}", f"--output_dir={paths['export']}"],
        ),
    }

    def make(kind):
        for name in ("train", kind):
            if not os.path.exists(paths[name]):
                outcome = forked.run(*programs[name])
                assert outcome.status == 0, outcome.stderr[-3000:]
        return root / kind

    return make


def readers(kind, root):
    """The programs that read a directory, as (module, arguments)."""
    paths = {name: str(root / name) for name in KINDS}
    data, out = paths["records"], str(root / "out")
    image = os.path.join(os.path.dirname(__file__), "photo.png")
    by_kind = {
        "records": [
            ("adl_tf.train", commands.train(data, out)),
            ("adl_tf.evaluate", [*commands.evaluate(paths["train"]), f"--output_dir={out}"]),
            ("data_prep.verify", [data]),
        ],
        "train": [
            ("adl_tf.train", commands.train(data, paths["train"], "STEPS = 8")),
            ("adl_tf.evaluate", [*commands.evaluate(paths["train"]), f"--output_dir={out}"]),
            ("adl_tf.export", [f"--model_dir={paths['train']}", f"--output_dir={out}"]),
            ("adl_tf.train", [*commands.train(data, out), f"--init_from={paths['train']}"]),
        ],
        "search": [
            ("adl_tf.search", commands.search(data, paths["search"], "EPOCHS = 3")),
            ("adl_tf.decode", [f"--model_dir={paths['search']}"]),
        ],
        "random": [("adl_tf.search", commands.random_search(data, paths["random"]))],
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


def all_cases(directory, file):
    """What is done to a file and to single values in it: two lists of (file, name, function)."""
    with open(os.path.join(directory, file), "rb") as stream:
        content = stream.read()
    cases = [(file, name, damage) for name, damage in damages(file, content)]
    return [c for c in cases if "_value" not in c[1]], [c for c in cases if "_value" in c[1]]


@pytest.mark.sampled
@pytest.mark.parametrize(
    "kind",
    [
        "records",
        "train",
        pytest.param("search", marks=pytest.mark.whole),
        pytest.param("random", marks=pytest.mark.whole),
        "export",
    ],
)
def test_damaged_files(kind, whole, tmp_path, request, count):
    directory, draws = whole(kind), random.Random(0)
    cases, values = [], []
    for file in sorted(files_in(directory)):
        whole_files, single = all_cases(directory, file)
        cases += draws.sample(whole_files, len(whole_files) // 2)
        values += single
    cases += draws.sample(values, len(values) // VALUES)
    if not request.config.getoption("whole"):
        cases = cases[::SHORT]
    failures = []
    for file, name, damage in cases:
        root = tmp_path / "copy"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(directory.parent, root)
        for path in files_in(root):  # Files that name the directory.
            if path.endswith("run.json"):
                content = (root / path).read_text().replace(str(directory.parent), str(root))
                (root / path).write_text(content)
        path = root / kind / file
        spoil(path, damage(path.read_bytes()))
        module, arguments = draws.choice(readers(kind, root))
        text = f"{kind}/{file} {name}, {module}"
        outcome = forked.run(module, arguments)
        try:
            if outcome.status != 0:
                bad = [line for line in outcome.stderr.splitlines() if line.startswith("bad: ")]
                message = "; ".join(bad) or outcome.error
                named = os.path.basename(file) in message or str(root / kind) in message
                assert named, f"does not say where: {message}"
            assert "Traceback" not in outcome.stderr, outcome.stderr[-1500:]
            resumes = not arguments[-1].startswith("--init_from")
            if resumes and (".index" in file or ".data" in file or file == "checkpoint"):
                assert "Writing to" not in outcome.stderr, "it starts over"
        except AssertionError as error:
            failures.append(f"{text}: {str(error)[-700:]}")
    count("damaged files", len(cases) - len(failures))
    assert not failures, f"{len(failures)} of {len(cases)}\n" + "\n".join(failures)

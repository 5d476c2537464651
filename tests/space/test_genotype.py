"""Genotypes: what is accepted, what is refused and how it is said, and the file."""

import json

import numpy as np
import pytest

from adl_tf.space.genotype import PRESETS, Genotype, load_genotype, save_genotype

BLOCK = ((0, "skip_connect"), (1, "sep_conv_3x3"))


def test_the_preset_is_figure_3():
    genotype = load_genotype("auto_deeplab")
    assert genotype == PRESETS["auto_deeplab"]
    assert genotype.path == (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)
    assert [[(source, op[:3] + op[-1]) for source, op in block] for block in genotype.cell] == [
        [(1, "atr5"), (0, "sep3")],
        [(1, "sep3"), (0, "atr3")],
        [(3, "sep3"), (1, "sep3")],
        [(4, "sep5"), (2, "sep5")],
        [(3, "sep5"), (5, "atr5")],
    ]


def test_round_trip_through_json(tmp_path):
    file = str(tmp_path / "genotype.json")
    save_genotype(PRESETS["auto_deeplab"], file)
    assert load_genotype(file) == PRESETS["auto_deeplab"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["genotype.json"]


def test_the_file_has_the_fixed_format(tmp_path):
    file = tmp_path / "genotype.json"
    save_genotype(Genotype(path=(0, 1), cell=(BLOCK,)), str(file), probability=0.5)
    assert json.loads(file.read_text()) == {
        "path": [0, 1],
        "cell": [[[0, "skip_connect"], [1, "sep_conv_3x3"]]],
        "probability": 0.5,
    }
    # Unknown fields are ignored.
    assert load_genotype(str(file)) == Genotype(path=(0, 1), cell=(BLOCK,))


def test_saving_replaces_an_older_file(tmp_path):
    file = str(tmp_path / "genotype.json")
    save_genotype(PRESETS["auto_deeplab"], file)
    save_genotype(Genotype(path=(0,), cell=(BLOCK,)), file)
    assert load_genotype(file).path == (0,)


def test_numpy_integers_become_plain_ones(tmp_path):
    genotype = Genotype(path=np.array([0, 1]), cell=[[[np.int64(0), "none"], [1, "none"]]])
    assert genotype == Genotype(path=(0, 1), cell=(((0, "none"), (1, "none")),))
    save_genotype(genotype, str(tmp_path / "genotype.json"))


@pytest.mark.parametrize(
    "path, cell, message",
    [
        ((), (BLOCK,), "at least one"),
        ((0,), (), "at least one"),
        ((1, 1), (BLOCK,), "starts at level 1"),
        ((0, 1, 3), (BLOCK,), "illegal move from level 1 to 3"),
        ((0, -1), (BLOCK,), "level -1"),
        ((0,), (BLOCK[:1],), "block 0 has 1 branches"),
        ((0,), (BLOCK + BLOCK[:1],), "block 0 has 3 branches"),
        ((0,), (((0, "none"), (2, "none")),), r"block 0 reads input 2; legal are 0\.\.1"),
        ((0,), (BLOCK, ((0, "none"), (3, "none"))), r"block 1 reads input 3; legal are 0\.\.2"),
        ((0,), (((-1, "none"), (0, "none")),), "reads input -1"),
        ((0,), (((0, "none"), (1, "conv_7x7")),), "block 0 has unknown op 'conv_7x7'"),
    ],
)
def test_illegal_genotypes_are_refused(path, cell, message):
    with pytest.raises(ValueError, match=message):
        Genotype(path=path, cell=cell)


GOOD = {"path": [0, 1], "cell": [[[0, "skip_connect"], [1, "sep_conv_3x3"]]]}


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "genotype.json"),
        ("path: [0]", "genotype.json"),
        ("[]", "genotype.json"),
        ("7", "genotype.json"),
        (json.dumps({"cell": GOOD["cell"]}), "no field 'path'"),
        (json.dumps({"path": GOOD["path"]}), "no field 'cell'"),
        (json.dumps({**GOOD, "path": [0, 2]}), "illegal move from level 0 to 2"),
        (json.dumps({**GOOD, "path": 3}), "genotype.json"),
        (json.dumps({**GOOD, "path": [0, "x"]}), "genotype.json"),
        (json.dumps({**GOOD, "path": [0, None]}), "genotype.json"),
        (json.dumps({**GOOD, "cell": [[[0, "skip_connect"], [5, "none"]]]}), "reads input 5"),
        (json.dumps({**GOOD, "cell": [[[0, "skip_connect"], [1, "conv"]]]}), "unknown op 'conv'"),
        (json.dumps({**GOOD, "cell": [[[0, "skip_connect"]]]}), "1 branches"),
        (json.dumps({**GOOD, "cell": [[0, 1]]}), "genotype.json"),
        (json.dumps({**GOOD, "cell": [[[0], [1]]]}), "genotype.json"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    file = tmp_path / "genotype.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_genotype(str(file))
    # One clear line, with the name of the file.
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_binary_files_are_refused(tmp_path):
    file = tmp_path / "genotype.json"
    file.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ValueError, match="genotype.json"):
        load_genotype(str(file))


@pytest.mark.parametrize(
    "fields", [{"path": [0, 0.9]}, {"cell": [[[0.9, "skip_connect"], [1, "sep_conv_3x3"]]]}]
)
def test_non_integers_are_refused(tmp_path, fields):
    """Rounding would build another network than the one that was written."""
    file = tmp_path / "genotype.json"
    file.write_text(json.dumps({**GOOD, **fields}))
    with pytest.raises(ValueError, match="genotype.json"):
        load_genotype(str(file))


def test_neither_file_nor_preset(tmp_path):
    with pytest.raises(ValueError, match="neither a file nor a preset.*auto_deeplab"):
        load_genotype("auto_deeplab_xl")
    with pytest.raises(ValueError, match="neither a file nor a preset"):
        load_genotype(str(tmp_path))

"""The package as a library: its public names, loaded when they are used."""

import doctest
import importlib
import pathlib
import pkgutil
import re
import subprocess
import sys

import adl_tf
from adl_tf.layers.gated_cell import GatedCell
from adl_tf.layers.mixed_op import MixedOp

MAIN_CLASSES = (
    "SearchSpace",
    "Genotype",
    "Supernet",
    "DecodedBackbone",
    "DecodedNetwork",
    "AlternatingModel",
    "TrainingModel",
    "RecordReader",
    "Predictor",
)


def test_importing_the_package_loads_no_tensorflow():
    program = (
        "import sys, adl_tf; assert 'tensorflow' not in sys.modules; print(adl_tf.__version__)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == adl_tf.__version__


def test_every_public_name_is_there_and_documented():
    for name in adl_tf.__all__:
        value = getattr(adl_tf, name)
        if name != "__version__":
            assert value.__name__ == name and value.__doc__, name
            assert name in dir(adl_tf)
    assert not hasattr(adl_tf, "no_such_name")


def test_the_reference_lists_every_public_name():
    index = pathlib.Path(__file__).parents[1] / "docs" / "reference" / "index.md"
    listed = re.findall(r"^\| \[`(\w+)`\]", index.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(["__version__", *listed]) == sorted(adl_tf.__all__)


def test_no_public_name_is_that_of_a_module():
    modules = {module.name for module in pkgutil.iter_modules(adl_tf.__path__)}
    assert not modules & set(adl_tf.__all__)


def test_the_main_classes_say_where_they_are_from_and_how_to_use_them():
    classes = [getattr(adl_tf, name) for name in MAIN_CLASSES] + [MixedOp, GatedCell]
    for value in classes:
        for section in ("Args:", "Reference:", "https://arxiv.org/abs/1901.02985", "Example:"):
            assert section in value.__doc__, (value.__name__, section)


def test_examples_in_docstrings_run():
    for name in (
        "adl_tf",
        "adl_tf.sizes",
        "adl_tf.space.search_space",
        "adl_tf.space.genotype",
        "adl_tf.space.layout",
        "adl_tf.space.latency",
        "adl_tf.data.reader",
        "adl_tf.layers.conv_norm",
        "adl_tf.layers.gated_cell",
        "adl_tf.layers.mixed_op",
        "adl_tf.models.supernet",
        "adl_tf.models.auto_deeplab",
        "adl_tf.training.alternating_model",
        "adl_tf.training.training_model",
        "adl_tf.runs.phases",
        "adl_tf.evaluation.inference",
        "data_prep.naming",
    ):
        module = importlib.import_module(name)
        names = {**vars(module)}
        result = doctest.testmod(module, extraglobs=names)
        assert result.attempted and not result.failed, name

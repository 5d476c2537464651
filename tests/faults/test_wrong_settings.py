"""Every binding of every program, with values of other types and out of range.

The bindings are those of the operative configuration of a good run, the wrong values those that the
signatures refuse: a new binding is tested by itself. Of a binding's values each program gets one,
in turn; all of them are compared without a program.
"""

import itertools
import re

import commands
import forked
import gin
import pydantic
import pytest

import adl_tf.evaluation.network_evaluation  # noqa: F401  Whose settings are tested.
import adl_tf.planning.auto  # noqa: F401
import adl_tf.runs.training_run  # noqa: F401
import adl_tf.searches.method  # noqa: F401
import adl_tf.studies.study  # noqa: F401
from adl_tf.system.settings import types

VALUES = ("x", 5, -1, 0, 2.5, 1e9, None, (1, 2, 3), "", float("nan"))
# Of each binding, in the whole suite.
EACH = 3
# Every how many of the cases the short suite runs.
SHORT = 15


def operative_bindings(config):
    """(configurable, parameter) of every binding in an operative configuration."""
    return re.findall(r"^#?\s*([A-Za-z_]\w*)\.(\w+) = ", config, re.MULTILINE)


def wrong_values(name, parameter):
    """Values that the signature of a configurable refuses, few of a kind."""
    adapter = types_of(name).get(parameter)
    found = []
    for value in VALUES if adapter else ():
        try:
            adapter.validate_python(value)
        except pydantic.ValidationError:
            found.append(value)
    return found[:EACH]


def types_of(name):
    """What compares the values of a configurable's parameters, by their names."""
    target = gin.get_configurable(name)
    wrapped = getattr(target, "__wrapped__", target)
    function = wrapped.__init__ if isinstance(wrapped, type) else wrapped
    return types(getattr(function, "__wrapped__", function))


def all_configurables():
    """The names of what gin can bind, in no program's configuration perhaps."""
    # Gin has no public list of them.
    return sorted(name for name in gin.config._REGISTRY._selector_map if name.startswith("adl_tf."))


@pytest.mark.parametrize("name", all_configurables())
def test_every_parameter_refuses_wrong_values(name, count):
    """Where gin hands the values over: before anything else is done."""
    target = gin.get_configurable(name)
    itself = (None,) if isinstance(target, type) else ()
    function = (target.__init__ if itself else target).__wrapped__
    tried = 0
    for parameter in types_of(name):
        for value in wrong_values(name, parameter):
            with pytest.raises(ValueError, match=rf"{name.rpartition('.')[2]}\.{parameter} = "):
                function(*itself, **{parameter: value})
            tried += 1
    count("wrong values", tried)


@pytest.mark.sampled
@pytest.mark.parametrize(
    "program",
    [
        "train",
        "search",
        pytest.param("random_search", marks=pytest.mark.whole),
        "evaluate",
    ],
)
def test_wrong_settings(program, streets, trained, tmp_path, request, count):
    def arguments(directory, *bindings):
        if program == "evaluate":
            return commands.evaluate(trained, *bindings)
        return getattr(commands, program)(streets, directory, *bindings)

    module = "adl_tf.search" if program.endswith("search") else f"adl_tf.{program}"
    if program == "evaluate":
        bindings = [
            ("evaluate_network", name)
            for name in types_of("evaluate_network")
            if name != "model_dir"  # A flag.
        ]
    else:
        good = forked.run(module, arguments(str(tmp_path / "good")))
        assert good.status == 0, good.stderr[-3000:]
        with open(tmp_path / "good" / "operative_config.gin") as file:
            bindings = operative_bindings(file.read())
    turns = itertools.count()
    cases = [
        (name, parameter, values[next(turns) % len(values)])
        for name, parameter in bindings
        for values in [wrong_values(name, parameter)]
        if values
    ]
    if not request.config.getoption("whole"):
        cases = cases[::SHORT]
    assert cases
    for name, parameter, value in cases:
        text = (
            f"{name}.{parameter} = {value!r}" if value == value else f"{name}.{parameter} = 'nan'"
        )
        outcome = forked.run(module, arguments(str(tmp_path / "bad"), text))
        try:
            assert f"{name}.{parameter} = " in outcome.error, outcome.error
        except AssertionError as error:
            raise AssertionError(text) from error
        assert not (tmp_path / "bad" / "checkpoint").exists()
    count("wrong settings", len(cases))


@pytest.mark.parametrize(
    "program, binding, message",
    [
        ("search", "ARCH_START_EPOCH = 'x'", "run_gradient_search.arch_start_epoch = 'x'"),
        ("search", "FILTER_MULTIPLIER = 0", "SearchSpace.filter_multiplier = 0"),
        ("search", "NUM_LAYERS = 1", "SearchSpace.num_layers = 1"),
        ("search", "SearchSpace.ops = 5", "SearchSpace.ops = 5"),
        ("search", "weight_optimizer.initial_rate = 'x'", "weight_optimizer.initial_rate = 'x'"),
        ("search", "EPOCHES = 1", "EPOCHS"),
        ("search", "architecture_optimizer.rate = 1e39", "architecture_optimizer.rate = 1e+39"),
        ("train", "DATASET_DIR = 5", "RunData.dataset_dir = 5"),
        ("train", "RunData.cache_dir = 5", "RunData.cache_dir = 5"),
        ("train", "train_stream.class_balance = 5.0", "train_stream.class_balance = 5.0"),
        ("train", "training_optimizer.average_decay = 2.0", "average_decay = 2.0"),
        ("train", "configure_runtime.intra_op_threads = -3", "intra_op_threads = -3"),
        ("train", "distribution_strategy.devices = ['GPU:7']", "there is no 'GPU:7' here"),
        # Nothing listens there.
        ("train", "train_stream.service = 'grpc://127.0.0.1:9'", "no tf.data service answers"),
    ],
)
def test_settings_that_once_ended_otherwise(program, binding, message, streets, tmp_path, count):
    module = "adl_tf.search" if program.endswith("search") else f"adl_tf.{program}"
    bindings = [binding]
    if "service" in binding:
        bindings.append("RunData.deterministic = False")
    outcome = forked.run(module, getattr(commands, program)(streets, str(tmp_path), *bindings))
    assert message in outcome.error
    assert not list(tmp_path.glob("*checkpoint*"))
    count("wrong settings", 1)

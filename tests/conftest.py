"""Settings for all tests: few threads, since the kernels of tiny shapes gain nothing from
more, and two devices made of the one CPU for the tests of distribution."""

import os

os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import adl_tf  # noqa: E402, F401  Before TensorFlow: it turns oneDNN on.

# isort: split

import pytest  # noqa: E402
import tensorflow as tf  # noqa: E402

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def pytest_addoption(parser):
    parser.addoption(
        "--genotypes", type=int, default=6, help="On how many random genotypes costs are checked."
    )
    parser.addoption(
        "--whole", action="store_true", help="Tests that take long as well, and all faults."
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "whole: run with --whole only")
    config.addinivalue_line("markers", "sampled: a sample of the cases without --whole")
    if not config.getoption("whole"):
        # Rewriting graphs that run a step or two takes longer than they do; programs in processes
        # of their own, and --whole, have it.
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def pytest_collection_modifyitems(config, items):
    """What starts programs takes longest, so it is first: both processes end at about one time."""
    if not config.getoption("whole"):
        left_out = [item for item in items if item.get_closest_marker("whole")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=lambda item: "faults" not in str(item.path) and "program" not in item.path.name)


def pytest_generate_tests(metafunc):
    if "genotype_seed" in metafunc.fixturenames:
        metafunc.parametrize("genotype_seed", range(metafunc.config.getoption("genotypes")))


@pytest.fixture
def two_devices():
    """A strategy over both devices, without collective ops: those of several graphs would meet
    in one process under the same keys."""
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    assert strategy.num_replicas_in_sync == 2
    return strategy

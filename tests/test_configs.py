"""Every config that is shipped is read, and each of its bindings is taken by something."""

import os

import gin
import pytest

import adl_tf.search  # noqa: F401  Its configurables are what the configs bind.
import adl_tf.train  # noqa: F401
from adl_tf.configuration import CONFIG_DIR, parse_gin

SIZES = ("auto_deeplab_s", "auto_deeplab_m", "auto_deeplab_l")
CONFIGS = sorted(
    os.path.relpath(os.path.join(folder, name), CONFIG_DIR)
    for folder, _, names in os.walk(CONFIG_DIR)
    for name in names
    if name.endswith(".gin") and not name.startswith(("base_", *SIZES))
)


@pytest.mark.parametrize("config", CONFIGS)
def test_config(config):
    try:
        parse_gin([config], ["SEED = 7"])
        assert gin.query_parameter("SEED/gin.macro.value") == 7
        program = "search" if "search" in config else "train"
        assert gin.query_parameter(f"{program}.dataset_dir") is not None
    finally:
        gin.clear_config()


@pytest.mark.parametrize("size, filters", zip(SIZES, (20, 32, 48)))
def test_sizes_win_over_the_config_before_them(size, filters):
    try:
        parse_gin(["papers/voc2012.gin", f"papers/{size}.gin"], [])
        assert gin.query_parameter("FILTER_MULTIPLIER/gin.macro.value") == filters
    finally:
        gin.clear_config()

"""The gin configuration of a run: its files bound to what they configure."""

import os
from typing import Any, Sequence

import gin
from absl import logging

from adl_tf.gin_files import (
    NO_IMPORTS,
    check_imports,
    check_macros,
    config_folders,
    read_statements,
)
from adl_tf.space.budget import Budget
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.search_space import SearchSpace
from adl_tf.system.settings import external_configurable

# Set in the environment of programs that may not use all cores that they see: how many.
CORES = "ADL_TF_CORES"

# What gin raises for bad files and bindings, and for modules that they import.
_INVALID = (OSError, ValueError, SyntaxError, RuntimeError, NameError, AttributeError, ImportError)

# The space itself does not depend on gin.
configured_space = external_configurable(SearchSpace)
configured_sizes = external_configurable(NetworkSizes)
configured_budget = external_configurable(Budget)


def available_cores() -> int:
    """Number of cores that this process may use."""
    if CORES in os.environ:
        return int(os.environ[CORES])
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def parse_gin(gin_files: Sequence[str], gin_params: Sequence[str], imports: bool = True) -> None:
    """Reads gin files, then single bindings.

    Args:
      gin_files: by path, or by name in gin_configs/.
      gin_params: bindings.
      imports: whether they may import modules, which runs their code.

    Raises:
      ValueError: a missing file or module, a binding that matches no parameter, a macro that is
        set but not used, or an import that is not allowed.
    """
    if not imports:
        # For networks given as "module:name", and the runs of studies.
        os.environ[NO_IMPORTS] = "1"
    statements = read_statements(gin_files, gin_params)
    check_imports(statements, imports)
    check_macros(statements)
    gin.clear_config()
    for folder in config_folders():
        gin.add_config_file_search_path(folder)
    verbosity = logging.get_verbosity()
    # gin would log every path that it tries as an error.
    logging.set_verbosity(logging.FATAL)
    try:
        # Not locked afterwards: public names register their parameters on first use.
        gin.parse_config_files_and_bindings(
            list(gin_files), list(gin_params), finalize_config=False
        )
    except _INVALID as error:
        raise ValueError(f"gin: {' '.join(str(error).split())}") from error
    finally:
        logging.set_verbosity(verbosity)


def macro(name: str, default: Any = None) -> Any:
    """The value of a macro of the gin files; the default where they have none."""
    try:
        return gin.query_parameter(f"%{name}")
    except ValueError:
        return default

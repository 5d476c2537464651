"""The searches to choose from."""

from typing import Any, Callable, Dict

from adl_tf.runs.random_search import run_random_search  # noqa: F401  Gin files refer to it.
from adl_tf.runs.sampled_search import run_sampled_search  # noqa: F401
from adl_tf.runs.search_run import run_search
from adl_tf.settings import configurable


@configurable
def search(model_dir: str, method: Callable[..., Dict[str, Any]] = run_search) -> Dict[str, Any]:
    """Searches.

    Args:
      model_dir: directory of everything that is written.
      method: `run_search` (the paper's), `run_sampled_search`, `run_random_search`, or a function
        of your own.

    Returns:
      what the method returns; `genotype` is the file of what it found.
    """
    return method(model_dir)

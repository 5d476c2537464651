"""The searches to choose from."""

from typing import Any, Callable, Dict

from adl_tf.searches.gradient_search import run_gradient_search
from adl_tf.searches.random_search import run_random_search  # noqa: F401  Gin files refer to it.
from adl_tf.system.settings import configurable


@configurable
def search(
    model_dir: str, method: Callable[..., Dict[str, Any]] = run_gradient_search
) -> Dict[str, Any]:
    """Searches for an architecture.

    Args:
      model_dir: directory of everything that is written.
      method: `run_gradient_search` (the paper's), `run_random_search`, or a function of your own.

    Returns:
      what the method returns; `genotype` is the file of what it found.
    """
    return method(model_dir)

"""The commands that the fault suite runs, on records that a fixture made."""

from typing import List

# Of all searches, beside their ops.
_SPACE = (
    "NUM_LAYERS = 2",
    "NUM_BLOCKS = 1",
    "FILTER_MULTIPLIER = 2",
    "SearchSpace.num_levels = 2",
)


# Of all trials: two rungs of two steps, of networks without a budget.
_TRIALS = (
    "STEPS = 4",
    "Trials.rungs = 2",
    "run_gradient_search.budget = None",
    "run_random_search.budget = None",
)


def _flags(bindings) -> List[str]:
    return [f"--gin_param={binding}" for binding in bindings]


def _run(config: str, streets: str, model_dir: str, bindings) -> List[str]:
    """Arguments of a run on the records, small enough for a second or two."""
    common = (
        f"DATASET_DIR = {streets!r}",
        "CROP_SIZE = 33",
        "BATCH_SIZE = 2",
        "RunData.deterministic = True",
    )
    return [f"--gin_file={config}", f"--model_dir={model_dir}", *_flags((*common, *bindings))]


def train(streets: str, model_dir: str, *bindings: str) -> List[str]:
    """Arguments of a training of the tiny network: 6 steps, 3 validations."""
    own = (
        "STEPS = 6",
        "RunNetwork.network = 'tiny:tiny_network'",
        "run_training.validate_every = 2",
        "run_training.checkpoint_steps = 1",
    )
    return _run("train.gin", streets, model_dir, (*own, *bindings))


def cached_train(streets: str, model_dir: str, *bindings: str) -> List[str]:
    """Arguments of 2 steps of it with decoded examples on disk."""
    own = ("STEPS = 2", f"RunData.cache_dir = '{model_dir}/cache'")
    return train(streets, model_dir, *own, *bindings)


def search(streets: str, model_dir: str, *bindings: str) -> List[str]:
    """Arguments of a search in a tiny supernet: 2 epochs of 2 steps; `random_search` has trials."""
    own = (
        "EPOCHS = 2",
        "ARCH_START_EPOCH = 1",
        "run_gradient_search.trials = None",
        "run_gradient_search.budget = None",
        *_SPACE,
        "SearchSpace.ops = ('none', 'skip_connect', 'max_pool_3x3')",
        "NetworkSizes.stem = (4, 4, 4)",
        "run_gradient_search.steps_per_epoch = 2",
        "run_gradient_search.checkpoint_steps = 1",
    )
    return _run("search.gin", streets, model_dir, (*own, *bindings))


def random_search(streets: str, model_dir: str, *bindings: str) -> List[str]:
    """Arguments of a random search: 2 networks, 2 rungs of 2 steps."""
    own = (
        *_TRIALS,
        "run_random_search.candidates = 2",
        *_SPACE,
        "SearchSpace.ops = ('skip_connect', 'max_pool_3x3')",
    )
    return _run("random_search.gin", streets, model_dir, (*own, *bindings))


def evaluate(model_dir: str, *bindings: str) -> List[str]:
    """Arguments of an evaluation."""
    return [f"--model_dir={model_dir}", *_flags(bindings)]


def auto(folder: str, output_dir: str) -> List[str]:
    """Arguments of a whole run, see `quick_auto`."""
    return [f"--input={folder}", f"--output_dir={output_dir}", "--hours=1"]

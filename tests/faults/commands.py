"""The commands that the fault suite runs, on records that a fixture made."""

from typing import List

# Of all searches, beside their ops.
_SPACE = (
    "NUM_LAYERS = 2",
    "NUM_BLOCKS = 1",
    "FILTER_MULTIPLIER = 2",
    "SearchSpace.num_levels = 2",
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
    """Arguments of a search in a tiny supernet: 2 epochs of 2 steps."""
    own = (
        "EPOCHS = 2",
        "ARCH_START_EPOCH = 1",
        *_SPACE,
        "SearchSpace.ops = ('none', 'skip_connect', 'max_pool_3x3')",
        "SearchSpace.stem = (4, 4, 4)",
        "run_search.steps_per_epoch = 2",
        "run_search.checkpoint_steps = 1",
    )
    return _run("camvid_search.gin", streets, model_dir, (*own, *bindings))


def sampled_search(streets: str, model_dir: str, *bindings: str) -> List[str]:
    """Arguments of a search by sampled paths: 4 steps, 4 candidates."""
    own = (
        "STEPS = 4",
        "CANDIDATES = 4",
        *_SPACE,
        "SearchSpace.ops = ('skip_connect', 'max_pool_3x3')",
        "run_sampled_search.budget = None",
        "run_sampled_search.checkpoint_steps = 2",
        "Ranker.batches = 2",
        "Ranker.calibration_batches = 1",
    )
    return _run("study_sampled_search.gin", streets, model_dir, (*own, *bindings))


def random_search(streets: str, model_dir: str, *bindings: str) -> List[str]:
    """Arguments of a random search: 2 networks, 2 rungs of 2 steps."""
    own = (
        "STEPS = 4",
        "CANDIDATES = 2",
        *_SPACE,
        "SearchSpace.ops = ('skip_connect', 'max_pool_3x3')",
        "run_random_search.budget = None",
        "run_random_search.rungs = 2",
    )
    return _run("study_random_search.gin", streets, model_dir, (*own, *bindings))


def evaluate(model_dir: str, *bindings: str) -> List[str]:
    """Arguments of an evaluation."""
    return [f"--model_dir={model_dir}", *_flags(bindings)]


def auto(folder: str, output_dir: str) -> List[str]:
    """Arguments of a whole run, see `quick_auto`."""
    return [f"--input={folder}", f"--output_dir={output_dir}", "--hours=1"]

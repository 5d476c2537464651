"""The gin files of a plan."""

import os
from typing import Dict, Optional

from adl_tf.planning.plan import (
    ARCH_START_EPOCH,
    EPOCHS,
    RUNGS,
    SEARCH,
    SHARE,
    TRAINING,
    SearchSteps,
)
from adl_tf.planning.settings import NUM_BLOCKS, NUM_LAYERS, Settings

_HEAD = "# Planned for {}. Edit it, and give the same command again."


def config_files(directory: str) -> Dict[str, str]:
    """Paths of the gin files of a plan, by stage."""
    return {stage: os.path.join(directory, f"{stage}.gin") for stage in (SEARCH, TRAINING)}


def search_config(settings: Settings, dataset_dir: str, search: SearchSteps) -> str:
    """The gin file of the search."""
    reasons = settings.reasons
    return f"""{_HEAD.format(dataset_dir)}

include 'recommended_search.gin'

DATASET_DIR = {dataset_dir!r}
CROP_SIZE = {search.crop_size}  # Smaller than the training's: a search trains many networks.
BATCH_SIZE = {settings.batch_size}  # {reasons["batch_size"]}.
EPOCHS = {EPOCHS}
ARCH_START_EPOCH = {ARCH_START_EPOCH}
NUM_LAYERS = {NUM_LAYERS}
NUM_BLOCKS = {NUM_BLOCKS}
PROPOSALS = {search.proposals}
STEPS = {search.trial_steps}
IMAGE_SIZE = {settings.image_size}
MULTI_ADDS = {settings.multi_adds}  # {reasons["multi_adds"]}.
SEED = 0

distribution_strategy.kind = {settings.distribution!r}
run_gradient_search.steps_per_epoch = {search.steps_per_epoch}
RunData.validation_images = {search.validation_images}
Trials.class_balanced_loss = {settings.class_balanced}  # {reasons["class_balanced"]}.
Trials.rungs = {RUNGS}
Trials.share = {SHARE}
"""


def train_config(
    settings: Settings,
    dataset_dir: str,
    steps: int,
    validate_every: int,
    validation_images: Optional[int],
) -> str:
    """The gin file of the training."""
    reasons = settings.reasons
    return f"""{_HEAD.format(dataset_dir)}

include 'recommended_train.gin'

DATASET_DIR = {dataset_dir!r}
CROP_SIZE = {settings.crop_size}  # {reasons["crop_size"]}.
BATCH_SIZE = {settings.batch_size}  # {reasons["batch_size"]}.
STEPS = {steps}
SEED = 0

distribution_strategy.kind = {settings.distribution!r}
run_training.class_balanced_loss = {settings.class_balanced}  # {reasons["class_balanced"]}.
run_training.precision = {settings.precision!r}  # {reasons["precision"]}.
run_training.validate_every = {validate_every}
RunData.validation_images = {validation_images}
"""

"""TensorFlow's use of the machine: threads, seeds, determinism, precision."""

import contextlib
import random
from typing import Iterator, Optional

import numpy as np
import tensorflow as tf

# Private in TensorFlow 2.15: the public API sets determinism but does not read it.
from tensorflow.python.framework import config as tf_config

from adl_tf.configuration import available_cores
from adl_tf.system.progress import say
from adl_tf.system.settings import Count, configurable

FLOAT32 = "float32"
PRECISIONS = (FLOAT32, "mixed_bfloat16", "mixed_float16")


@configurable
def configure_runtime(
    small_kernels: bool = False,
    intra_op_threads: Optional[Count] = None,
    inter_op_threads: Optional[Count] = None,
) -> None:
    """Sets TensorFlow's threads, where no op ran yet; later they cannot be changed.

    Args:
      small_kernels: unless thread numbers are given, every core runs a kernel of its own rather
        than a part of one, as suits the supernet.
      intra_op_threads: threads inside one kernel.
      inter_op_threads: kernels that run at the same time.
    """
    cores = available_cores()
    intra = intra_op_threads or (max(1, cores // 8) if small_kernels else cores)
    inter = inter_op_threads or min(cores, 8)
    threading = tf.config.threading
    try:
        threading.set_intra_op_parallelism_threads(intra)
        threading.set_inter_op_parallelism_threads(inter)
    except RuntimeError:
        found = (
            # 0 is TensorFlow's own choice, one for each core.
            threading.get_intra_op_parallelism_threads() or cores,
            threading.get_inter_op_parallelism_threads() or cores,
        )
        if found != (intra, inter):
            say(
                "TensorFlow is already running, so its threads are unchanged (inside a kernel "
                f"{found[0]} instead of {intra}, kernels at a time {found[1]} instead of {inter})."
            )


@contextlib.contextmanager
def graphs_as_written() -> Iterator[None]:
    """Leaves graphs that are traced inside the block as they are, on a machine without GPUs.

    TensorFlow's rewriting takes a fifth of the time until the first step of a decoded network, and
    a third of a supernet's, and does not make their steps on a CPU faster (benchmarks/RESULTS.md).
    """
    rewriting = tf.config.optimizer
    before = rewriting.get_experimental_options()
    off = not tf.config.list_physical_devices("GPU")
    rewriting.set_experimental_options({**before, "disable_meta_optimizer": off})
    try:
        yield
    finally:
        rewriting.set_experimental_options(before)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seeds Python, numpy and TensorFlow inside the block.

    Afterwards the generators of Python and numpy continue as before. TensorFlow's global seed
    stays, since it can be set but not read.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    tf.keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@contextlib.contextmanager
def deterministic_ops(enabled: bool) -> Iterator[None]:
    """Makes ops deterministic inside the block; restores the setting afterwards.

    Args:
      enabled: False leaves everything as it is.
    """
    before = tf_config.is_op_determinism_enabled()
    if enabled:
        tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        if not before:
            tf_config.disable_op_determinism()


@contextlib.contextmanager
def precision_policy(precision: str) -> Iterator[None]:
    """Makes layers compute in a precision inside the block; restores Keras's policy afterwards.

    Args:
      precision: one of `PRECISIONS`.

    Raises:
      ValueError: another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}: choose from {list(PRECISIONS)}.")
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)

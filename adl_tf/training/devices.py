"""How TensorFlow uses the machine: threads, seeds, determinism, precision, devices."""

import contextlib
import os
import random
from typing import Iterator, Optional, Sequence

import numpy as np
import tensorflow as tf

# Private in TensorFlow 2.15: the public API sets determinism but does not read it.
from tensorflow.python.framework import config as tf_config

from adl_tf.configuration import CORES, say
from adl_tf.settings import Count, Name, configurable

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


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


def available_cores() -> int:
    """How many cores this process may use."""
    if CORES in os.environ:
        return int(os.environ[CORES])
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


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


@configurable
def distribution_strategy(devices: Optional[Sequence[Name]] = None) -> tf.distribute.Strategy:
    """MirroredStrategy over the given devices, or over all GPUs; otherwise the default one.

    Raises:
      ValueError: there is no such device.
    """
    present = [device.name for device in tf.config.list_logical_devices()]
    for device in devices or ():
        if not any(name.upper().endswith(device.upper().lstrip("/")) for name in present):
            raise ValueError(
                f"distribution_strategy.devices: there is no {device!r} here, only "
                f"{', '.join(name.rpartition('device:')[2] for name in present)}."
            )
    if devices or len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy(devices and list(devices))
    return tf.distribute.get_strategy()


def check_single_device() -> None:
    """Raises ValueError where `distribution_strategy` would use several devices."""
    if distribution_strategy().num_replicas_in_sync > 1:
        raise ValueError(
            "a search by sampled paths runs on one device: leave distribution_strategy.devices "
            "out and make one GPU visible (CUDA_VISIBLE_DEVICES=0)."
        )


def check_devices(
    strategy: tf.distribute.Strategy, batch_size: int, parts: int = 1, jit_compile: bool = False
) -> None:
    """Checks that the devices can share the batches of a run.

    Args:
      strategy: over the devices.
      batch_size: images per step, over all devices.
      parts: of a device's share, computed one after the other.
      jit_compile: whether the steps are compiled with XLA.

    Raises:
      ValueError: the shares or parts would differ in size, which would weigh images unequally;
        or XLA with several devices, whose communication it cannot compile.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % (replicas * parts):
        raise ValueError(
            f"a batch of {batch_size} cannot be shared equally ({replicas} devices, {parts} "
            f"accumulation_steps): make BATCH_SIZE a multiple of {replicas * parts}."
        )
    if jit_compile and isinstance(strategy, tf.distribute.MirroredStrategy):
        raise ValueError(
            "jit_compile is not supported with a distribution over devices: turn it off, or "
            "leave distribution_strategy.devices out and make one GPU visible "
            "(CUDA_VISIBLE_DEVICES=0)."
        )

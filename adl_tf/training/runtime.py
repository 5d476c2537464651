"""How TensorFlow uses the machine: threads, determinism, devices."""

import os
from typing import Optional, Sequence

import gin
import tensorflow as tf
from absl import logging


@gin.configurable
def configure(
    seed: int = 0,
    deterministic: bool = False,
    small_kernels: bool = False,
    intra_op_threads: Optional[int] = None,
    inter_op_threads: Optional[int] = None,
) -> None:
    """Seeds all generators and sets the threads; to be called before any op runs.

    Args:
      seed: of Python, numpy and TensorFlow.
      deterministic: the same run gives the same bits.
      small_kernels: without a number of threads, every core gets a kernel of its own rather
        than a part of one, as suits the supernet.
      intra_op_threads: threads inside one kernel.
      inter_op_threads: kernels that run at the same time.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        tf.config.threading.set_intra_op_parallelism_threads(
            intra_op_threads or (max(1, cores // 8) if small_kernels else cores)
        )
        tf.config.threading.set_inter_op_parallelism_threads(inter_op_threads or min(cores, 8))
    except RuntimeError:
        logging.warning("threads stay as they are: TensorFlow runs already.")
    tf.keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


@gin.configurable
def strategy(devices: Optional[Sequence[str]] = None) -> tf.distribute.Strategy:
    """MirroredStrategy over the devices named, or over all GPUs; else the default one."""
    if devices or len(tf.config.list_physical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy(devices and list(devices))
    return tf.distribute.get_strategy()

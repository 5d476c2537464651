"""Which devices and machines share a run."""

import os
from typing import Any, Callable, Optional, Sequence

import tensorflow as tf

from adl_tf.data.shard import WHOLE, Shard
from adl_tf.distribution.cluster import Cluster, find_cluster
from adl_tf.system.settings import Name, configurable

SINGLE, MIRRORED, MULTI_WORKER = KINDS = ("single", "mirrored", "multi_worker")


@configurable
def distribution_strategy(
    kind: Optional[str] = None, devices: Optional[Sequence[Name]] = None
) -> tf.distribute.Strategy:
    """The strategy by which a run uses devices and machines.

    Args:
      kind: "single", one device; "mirrored", several of this machine; "multi_worker", those of
        several machines, on each of which the program runs with a description of the cluster, see
        `find_cluster`. None is "mirrored" where there are `devices` or several GPUs, otherwise
        "single".
      devices: those of this machine to use, such as ["GPU:0", "GPU:1"], for "mirrored"; None for
        all GPUs.

    Raises:
      ValueError: another kind, no such device, devices where they have no meaning, or a cluster
        that is not described.
    """
    if kind not in (None, *KINDS):
        raise ValueError(f"distribution_strategy.kind = {kind!r}: choose from {list(KINDS)}.")
    if devices and kind in (SINGLE, MULTI_WORKER):
        raise ValueError(
            f"distribution_strategy.devices has no meaning for {kind!r}: CUDA_VISIBLE_DEVICES says "
            "which GPUs a process sees."
        )
    if kind == MULTI_WORKER:
        return _join(find_cluster(os.environ))
    _check_present(devices or ())
    several = devices or len(tf.config.list_physical_devices("GPU")) > 1
    if kind == MIRRORED or (several and kind is None):
        tf.get_logger().setLevel("WARNING")  # It has a line for every sum over the devices.
        return tf.distribute.MirroredStrategy(devices and list(devices))
    return tf.distribute.get_strategy()


def _check_present(devices: Sequence[str]) -> None:
    present = [device.name for device in tf.config.list_logical_devices()]
    for device in devices:
        if not any(name.upper().endswith(device.upper().lstrip("/")) for name in present):
            raise ValueError(
                f"distribution_strategy.devices: there is no {device!r} here, only "
                f"{', '.join(name.rpartition('device:')[2] for name in present)}."
            )


def _join(cluster: Cluster) -> tf.distribute.Strategy:
    """Waits for all workers of a cluster, and names those that are missing meanwhile."""
    tf.get_logger().setLevel("ERROR")  # It has a line for every collective op of a graph.
    with cluster.waiting():
        try:
            # The implementation is chosen by the devices: NCCL for GPUs, a ring over gRPC for CPUs.
            strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster.resolver)
        except RuntimeError as error:
            raise ValueError(
                "distribution_strategy.kind = 'multi_worker' has to come first in a process, but "
                f"TensorFlow is already running ({str(error).splitlines()[0]})."
            ) from error
    strategy.cluster = cluster
    return strategy


def cluster_of(strategy: tf.distribute.Strategy) -> Optional[Cluster]:
    """The cluster of a strategy over several machines; None for one machine."""
    return getattr(strategy, "cluster", None)


def check_devices(
    strategy: tf.distribute.Strategy, batch_size: int, parts: int = 1, jit_compile: bool = False
) -> None:
    """Checks that the devices can share the batches of a run.

    Args:
      strategy: over the devices.
      batch_size: images per step, over all devices.
      parts: number of parts of a device's share, computed one after the other.
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
    if jit_compile and _is_distributed(strategy):
        raise ValueError(
            "jit_compile is not supported with a distribution over devices: turn it off, or "
            "leave distribution_strategy out and make one GPU visible (CUDA_VISIBLE_DEVICES=0)."
        )


def distribute(strategy: tf.distribute.Strategy, stream: Callable[[Shard], tf.data.Dataset]) -> Any:
    """The data of all replicas, of which every process reads and decodes its own share only.

    Args:
      strategy: over the devices.
      stream: returns the data of a shard, an element for each of its replicas in turn.

    Returns:
      what `fit` takes: a data set, distributed where there are several devices.
    """
    if not _is_distributed(strategy):
        return stream(WHOLE)
    return strategy.distribute_datasets_from_function(lambda _: stream(own_shard(strategy)))


def own_shard(strategy: tf.distribute.Strategy) -> Shard:
    """The part of a stream that this process reads."""
    cluster = cluster_of(strategy)
    index, count = (cluster.index, len(cluster.addresses)) if cluster else (0, 1)
    return Shard(index, count, strategy.num_replicas_in_sync // count)


def _is_distributed(strategy: tf.distribute.Strategy) -> bool:
    kinds = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
    return isinstance(strategy, kinds)

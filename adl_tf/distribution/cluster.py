"""The processes of a run on several machines: their addresses, and those that are missing."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any, Iterator, List, Mapping, NamedTuple, Sequence

import tensorflow as tf

from adl_tf.distribution import name_missing
from adl_tf.system.progress import say

# Seconds after which a worker that does not answer is lost, and between two looks.
_LOST, _PAUSE = 20, 2
_SLURM_PORT = 8888
_JOBS = ("chief", "worker")


class Cluster(NamedTuple):
    """The workers of a run.

    Attributes:
      addresses: "host:port" of each process; the first is the chief, which writes the run's files.
      index: index of this process.
      resolver: what TensorFlow takes.
    """

    addresses: Sequence[str]
    index: int
    resolver: Any

    def name(self, index: int) -> str:
        """A worker in words."""
        return f"worker {index} ({self.addresses[index]})"

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside the block, which waits for all workers, those that are missing are named."""
        arguments = [str(self.index), *self.addresses]
        process = subprocess.Popen([sys.executable, name_missing.__file__, *arguments])
        try:
            yield
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside the block, a worker that is lost ends this process with a line that names it.

        Whatever waits for that worker inside TensorFlow may wait forever, and cannot be
        interrupted.

        Raises:
          ValueError: a worker was lost, and TensorFlow noticed.
        """
        silent_since = {}

        def look():
            silent = self._silent()
            for index in [*silent_since]:
                if index not in silent:
                    del silent_since[index]
            now = time.monotonic()
            lost = [i for i in silent if now - silent_since.setdefault(i, now) >= _LOST]
            if lost:
                say(f"error: {self._lost(lost)}")
                os._exit(1)

        with _repeated(look):
            try:
                yield
            except tf.errors.OpError as error:
                lost = self._wait_for_lost()
                if not lost:
                    raise
                raise ValueError(self._lost(lost)) from error

    def _lost(self, indices: Sequence[int]) -> str:
        names = ", ".join(self.name(index) for index in sorted(indices))
        return f"{names} is gone; start all workers again: they resume from the last checkpoint."

    def _wait_for_lost(self) -> List[int]:
        """The lost workers, once there are any or the time in which a process ends is over."""
        end = time.monotonic() + _LOST
        while not self._silent() and time.monotonic() < end:
            time.sleep(_PAUSE)
        return sorted(self._silent())

    def _silent(self) -> List[int]:
        """The other workers that do not answer now."""
        return name_missing.silent_workers(self.addresses, self.index)


@contextlib.contextmanager
def _repeated(look) -> Iterator[None]:
    """Inside the block a thread calls the function again and again."""
    ended = threading.Event()

    def run():
        while not ended.wait(_PAUSE):
            look()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def find_cluster(environment: Mapping[str, str]) -> Cluster:
    """The cluster that the environment of this process describes.

    That is the variable TF_CONFIG, as Kubernetes' TFJob sets it and
    https://www.tensorflow.org/guide/distributed_training#TF_CONFIG has it; or else a job step of
    SLURM, where worker i of a node listens at port 8888 + i.

    Args:
      environment: environment of the process.

    Raises:
      ValueError: there is no description, or one that is wrong.
    """
    if environment.get("TF_CONFIG"):
        return _from_tf_config(environment["TF_CONFIG"])
    if "SLURM_STEP_NUM_TASKS" in environment:
        return _from_slurm()
    raise ValueError(
        "distribution_strategy.kind = 'multi_worker' needs the cluster in the environment: "
        "TF_CONFIG, such as "
        '\'{"cluster": {"worker": ["host0:4001", "host1:4001"]}, '
        '"task": {"type": "worker", "index": 0}}\', or a job step of SLURM (srun).'
    )


def _from_tf_config(text: str) -> Cluster:
    try:
        config = json.loads(text)
        jobs = {job: list(config["cluster"].get(job, ())) for job in _JOBS}
        kind, task = config["task"]["type"], int(config["task"]["index"])
        jobs[kind][task]  # This process must be one of them.
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"TF_CONFIG: {type(error).__name__} {error}; it must name the workers in "
            '"cluster" and this one, with its type and index, in "task".'
        ) from error
    addresses = jobs["chief"] + jobs["worker"]
    index = task + (len(jobs["chief"]) if kind == "worker" else 0)
    _check_addresses(addresses)
    return Cluster(addresses, index, tf.distribute.cluster_resolver.TFConfigClusterResolver())


def _from_slurm() -> Cluster:
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=_SLURM_PORT,
            # The resolver would ask nvidia-smi, which is not there without GPUs, and set
            # CUDA_VISIBLE_DEVICES, which SLURM has set.
            gpus_per_node=os.cpu_count() or 1,
            gpus_per_task=1,
            auto_set_gpu=False,
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the job step of SLURM describes no cluster ({error}).") from error
    _, index = resolver.get_task_info()
    _check_addresses(addresses)
    return Cluster(addresses, index, resolver)


def _check_addresses(addresses: Sequence[str]) -> None:
    for address in addresses:
        host, _, port = str(address).rpartition(":")
        if not host or not port.isdigit():
            raise ValueError(f"the cluster's {address!r} is no host:port.")
    if len(set(addresses)) < len(addresses):
        raise ValueError(f"two workers of the cluster have one address ({', '.join(addresses)}).")

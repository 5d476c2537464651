"""The layers of exported networks, timed on this machine, once: `space.latency` predicts by them.

python -m adl_tf.serving.layer_timing TABLE.json

In a process of its own, as a server is: the one that searches has other threads. What was measured
is kept for later runs in the user's cache directory, by machine, TensorFlow and threads.
"""

import dataclasses
import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import scipy.optimize
import tensorflow as tf

from adl_tf.configuration import available_cores
from adl_tf.layers.convolution import conv2d, depthwise_conv2d, resize
from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.serving.body import Body
from adl_tf.serving.edge_files import labels_of
from adl_tf.space.budget import Budget
from adl_tf.space.genotype import Genotype
from adl_tf.space.latency import Grid, LatencyTable, all_layers
from adl_tf.space.layout import (
    ARGMAX,
    CONCATENATION,
    CONVOLUTION,
    DEPTHWISE,
    ELEMENTWISE,
    RESIZE,
    Primitive,
    network_layout,
)
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.ops import AVERAGE_POOL, MAX_POOL
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace
from adl_tf.system.files import read_json, write_json
from adl_tf.system.progress import say

Clock = Callable[[], float]

# Sizes that are measured; larger kernels than these are extrapolated from smaller images.
_SIZES = ((10, 15), (30, 50), (90, 120), (216, 300))
_CHANNELS = (16, 64, 192)
_LARGEST = 4e6  # Numbers in an input or output.
_MOST_MULTI_ADDS = 4e8
_COPIES = 4  # Kernels in one timed call, so that the call itself is a small part.
_REPEATS, _SECONDS = 5, 0.03  # Timed calls of each, at least.
_CALIBRATED = 8  # Whole networks that the coefficients are fitted to.


class Network(NamedTuple):
    """The conditions that the latency of an exported network depends on.

    Attributes:
      genotype, filter_multiplier, num_classes, image_size, sizes: see `network_layout`.
    """

    genotype: Genotype
    filter_multiplier: int
    num_classes: int
    image_size: Tuple[int, int]
    sizes: NetworkSizes


def with_latency(budget: Budget) -> Budget:
    """A budget that can tell milliseconds; it is left as it is where they are not limited.

    Raises:
      ValueError: the layers cannot be measured.
    """
    if budget.milliseconds is None or budget.latency is not None:
        return budget
    return dataclasses.replace(budget, latency=machine_table())


def machine_table() -> LatencyTable:
    """The table of this machine: from the cache, or measured now, which takes a minute or two.

    Raises:
      ValueError: the layers cannot be measured.
    """
    machine = describe_machine()
    path = cache_path(machine)
    table = _read(path, machine)
    if table is None:
        say("measuring the layers of this machine once, for Budget.milliseconds: a minute or two.")
        table = _measure_apart()
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_json({"machine": machine, **table.to_dict()}, path)
        except OSError as error:
            say(f"what was measured is not kept: {error}")
    return table


def describe_machine() -> Dict[str, Any]:
    """The conditions of a measurement beside the network."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if "model name" in line]
        model = names[0] if names else model
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return {
        "machine": platform.machine(),
        "processor": model,
        "gpus": gpus,
        "threads": available_cores(),
        "tensorflow": tf.__version__,
        "layers": sorted(all_layers()),
    }


def cache_path(machine: Dict[str, Any]) -> str:
    """Where the table of a machine is kept: in $XDG_CACHE_HOME, or ~/.cache."""
    folder = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    digest = hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()
    return os.path.join(folder, "adl_tf", f"latency_{digest[:16]}.json")


def _read(path: str, machine: Dict[str, Any]):
    """The table in a file; None if there is none, or none of this machine that can be read."""
    if not os.path.exists(path):
        return None
    try:
        fields = read_json(path)
        if fields["machine"] != machine:
            return None
        return LatencyTable.from_dict(fields)
    except (KeyError, TypeError, ValueError, OSError) as error:
        say(f"{path} is damaged ({error}), and is measured again.")
        return None


def _measure_apart() -> LatencyTable:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "table.json")
        process = subprocess.run(
            [sys.executable, "-m", "adl_tf.serving.layer_timing", path],
            capture_output=True,
            text=True,
        )
        if process.returncode:
            lines = process.stderr.strip().splitlines() or ["without a word"]
            raise ValueError(
                f"Budget.milliseconds: the layers of this machine cannot be measured "
                f"({lines[-1]}); give Budget.multi_adds instead."
            )
        return LatencyTable.from_dict(read_json(path))


def measure_table(clock: Clock = time.perf_counter) -> LatencyTable:
    """Times all kinds of kernels, then fits what whole networks add to that.

    Args:
      clock: seconds. With one thread, `time.process_time` is not disturbed by other programs.
    """
    overhead = _seconds(_kernels(Primitive(ELEMENTWISE, (2, 2), 1, 1), 1), clock)

    def milliseconds(primitive: Primitive) -> float:
        seconds = _seconds(_kernels(primitive, _COPIES), clock)
        return 1000 * max(0.0, seconds - overhead) / _COPIES

    grids = {key: _grid(primitive, milliseconds) for key, primitive in all_layers().items()}
    table = LatencyTable(grids, _lanes(milliseconds))
    networks = draw_networks(_CALIBRATED, seed=0)
    features = np.array([table.features(network_layout(*network)) for network in networks])
    return table.with_coefficients(fit_coefficients(features, time_networks(networks, clock)))


def fit_coefficients(features: np.ndarray, milliseconds: Sequence[float]) -> np.ndarray:
    """Non-negative coefficients of features with the least squared relative error.

    Args:
      features: [networks, features].
      milliseconds: latency of each network.
    """
    times = np.asarray(milliseconds)
    found, _ = scipy.optimize.nnls(features / times[:, None], np.ones(len(times)))
    return found


def draw_networks(count: int, seed: int) -> List[Network]:
    """Random networks of various depths, widths, heads and sizes of images."""
    random = np.random.default_rng(seed)
    networks = []
    for index in range(count):
        space = SearchSpace(
            num_layers=int(random.integers(4, 9)), num_blocks=int(random.integers(1, 4))
        )
        filters = int(random.integers(6, 33))
        factor = filters / 16 * random.uniform(0.7, 1.4)
        sizes = NetworkSizes((16, 16, 32), aspp=64, low_level=24, decoder=64).scaled(factor)
        image_size = ((180, 240), (360, 480), (257, 257))[index % 3]
        networks.append(Network(sample_genotype(space, random), filters, 11, image_size, sizes))
    return networks


def time_networks(
    networks: Sequence[Network], clock: Clock = time.perf_counter, rounds: int = 25
) -> np.ndarray:
    """Milliseconds of exported networks on one image each: the least of several rounds in turns.

    Returns:
      float64 [networks].
    """
    runs = [_export(network) for network in networks]
    for run in runs:  # The first call prepares the graph.
        run()
    seconds = [[_once(run, clock) for run in runs] for _ in range(rounds)]
    return 1000 * np.min(seconds, axis=0)


def _export(network: Network) -> Callable[[], Any]:
    genotype, filters, num_classes, image_size, sizes = network
    body = Body(DecodedNetwork(genotype, filters, num_classes, sizes), 1, image_size)
    function = labels_of(body).get_concrete_function()
    image = np.random.default_rng(0).integers(0, 256, (1, *image_size, 3), np.uint8)
    images = tf.constant(image)
    # The function does not keep the body's weights alive.
    return lambda body=body: function(images)["labels"].numpy()


def _grid(like: Primitive, milliseconds: Callable[[Primitive], float]) -> Grid:
    """Times one kind of kernel at all sizes of the table."""
    channels = _CHANNELS
    filters = _CHANNELS if like.kind == CONVOLUTION else (1,)
    times = np.zeros((len(_SIZES), len(channels), len(filters)))
    for row, size in enumerate(_SIZES):
        for column, count in enumerate(channels):
            for depth, written in enumerate(filters):
                output = {CONVOLUTION: written, ARGMAX: 1}.get(like.kind, count)
                primitive = like._replace(size=size, channels=count, filters=output)
                if row < 2 or _affordable(primitive):
                    times[row, column, depth] = milliseconds(primitive)
                else:  # As far as it is linear in the pixels.
                    ratio = math.prod(size) / math.prod(_SIZES[row - 1])
                    times[row, column, depth] = ratio * times[row - 1, column, depth]
    return Grid(tuple(map(math.prod, _SIZES)), channels, filters, times)


def _affordable(primitive: Primitive) -> bool:
    pixels = math.prod(primitive.size)
    weights = primitive.kernel**2 * primitive.channels
    if primitive.kind == CONVOLUTION:
        weights *= primitive.filters
    read = primitive.channels * primitive.stride**2
    return pixels * weights <= _MOST_MULTI_ADDS and pixels * read <= _LARGEST


def _lanes(milliseconds: Callable[[Primitive], float]) -> int:
    """16 where a convolution writes 24 filters no faster than 32, else 8."""
    few, between, many = (
        milliseconds(Primitive(CONVOLUTION, (45, 60), 48, filters, 3)) for filters in (16, 24, 32)
    )
    return 16 if between > few + 0.75 * (many - few) else 8


def _kernels(primitive: Primitive, copies: int) -> Callable[[], Any]:
    """A function that runs a kernel several times, each time on other features and weights."""
    height, width = primitive.size
    stride = 0.5 if primitive.kind == RESIZE else primitive.stride
    size = [1, math.ceil(height * stride), math.ceil(width * stride)]
    shapes = [[*size, primitive.channels]]
    if primitive.kind == CONCATENATION:
        shapes = [[*size, primitive.channels // 2]] * 2
    features, weights = [], []
    for _ in range(copies):
        features += [_smooth(shape) for shape in shapes]
        weights.append(_weights(primitive))

    @tf.function(autograph=False)
    def run(*features):
        corners = []
        for index, kernels in enumerate(weights):
            inputs = features[index * len(shapes) : (index + 1) * len(shapes)]
            with tf.control_dependencies(corners[-1:]):  # One after the other.
                output = _KERNELS[primitive.kind](primitive, inputs, *kernels)
                corners.append(tf.cast(tf.reshape(output, [-1])[:1], tf.float32))
        return tf.add_n(corners)

    function = run.get_concrete_function(*features)
    # The function does not keep the weights alive.
    return lambda weights=weights: function(*features).numpy()


def _smooth(shape: Sequence[int]) -> tf.Tensor:
    """Features that change slowly: among unrelated numbers a processor guesses maxima wrongly."""
    _, height, width, channels = shape
    coarse = tf.random.normal([1, 2 + height // 16, 2 + width // 16, channels], seed=0)
    return tf.image.resize(coarse, (height, width))


def _weights(primitive: Primitive) -> Tuple[tf.Variable, ...]:
    kernel, channels, filters = primitive.kernel, primitive.channels, primitive.filters
    if primitive.kind == CONVOLUTION:
        shapes = ([kernel, kernel, channels, filters], [filters])
    elif primitive.kind == DEPTHWISE:
        shapes = ([kernel, kernel, channels, 1],)
    else:
        shapes = ()
    return tuple(tf.Variable(tf.random.normal(shape, stddev=0.1)) for shape in shapes)


def _depthwise(primitive: Primitive, inputs, kernel):
    if primitive.rate == 1:
        return depthwise_conv2d(*inputs, kernel, primitive.stride, training=False)
    rates = [primitive.rate] * 2
    return tf.nn.depthwise_conv2d(*inputs, kernel, [1, 1, 1, 1], "SAME", dilations=rates)


_KERNELS = {
    CONVOLUTION: lambda like, inputs, kernel, bias: tf.nn.bias_add(
        conv2d(*inputs, kernel, like.stride, like.rate), bias
    ),
    DEPTHWISE: _depthwise,
    MAX_POOL: lambda like, inputs: tf.nn.max_pool2d(*inputs, like.kernel, like.stride, "SAME"),
    AVERAGE_POOL: lambda like, inputs: tf.nn.avg_pool2d(*inputs, like.kernel, like.stride, "SAME"),
    RESIZE: lambda like, inputs: resize(*inputs, like.size),
    ELEMENTWISE: lambda like, inputs: tf.nn.relu(*inputs),
    CONCATENATION: lambda like, inputs: tf.concat(inputs, -1),
    ARGMAX: lambda like, inputs: tf.argmax(*inputs, -1, tf.int32),
}


def _once(run: Callable[[], Any], clock: Clock) -> float:
    started = clock()
    run()
    return clock() - started


def _seconds(run: Callable[[], Any], clock: Clock) -> float:
    """The least of several calls, after one that prepares the graph."""
    run()
    ends, seconds = time.perf_counter() + _SECONDS, []
    while len(seconds) < _REPEATS or time.perf_counter() < ends:
        seconds.append(_once(run, clock))
    return min(seconds)


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(available_cores())
    tf.config.threading.set_inter_op_parallelism_threads(available_cores())
    write_json(measure_table().to_dict(), sys.argv[1])

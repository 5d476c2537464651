"""Parameters and Multi-Adds of a built network; `space.costs` has those of a genotype.

Multi-Adds are the multiplications of convolutions, depthwise convolutions and matrix products
in the graph that actually runs, a multiplication and its addition counting as one; batch norm,
activations, pooling and resizing are not counted. An atrous convolution of rate r counts as it runs
in TensorFlow, in r x r phases padded to one size: its output's sides are rounded up to multiples of
r. Counted this way, the networks of the paper's table 2 come out 1.6 to 1.9 % below the printed
figures; without the rounding, 3.8 to 4.7 %.
"""

import math
import posixpath
from typing import Dict, Tuple

import tensorflow as tf

# Private in TensorFlow 2.15: there is no public way from a function in a graph's library to a
# graph with shapes.
from tensorflow.python.framework import function_def_to_graph

_CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def count_parameters(model: tf.keras.Model) -> int:
    """Number of trainable parameters, batch norm's scales and offsets included."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def count_multi_adds(model: tf.keras.Model, image_size: Tuple[int, int]) -> Dict[str, int]:
    """Multi-Adds of one image.

    Args:
      model: maps images [1, H, W, 3] to logits.
      image_size: (H, W).

    Returns:
      Multi-Adds by layer, in the order of the graph; their sum is the network's.
    """
    function = tf.function(lambda images: model(images, training=False), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec([1, *image_size, 3]))
    counts: Dict[str, int] = {}
    library = {f.signature.name: f for f in concrete.graph.as_graph_def().library.function}
    _count_graph(concrete.graph, library, "", counts)
    return counts


def _count_graph(graph, library, scope: str, counts: Dict[str, int]) -> None:
    for operation in graph.get_operations():
        layer = posixpath.join(scope, operation.name).rpartition("/")[0]
        if operation.type in _CALLS:
            definition = library[operation.get_attr("f").name]
            shapes = [tensor.shape for tensor in operation.inputs]
            body = function_def_to_graph.function_def_to_graph(definition, input_shapes=shapes)
            _count_graph(body, library, layer, counts)
            continue
        multi_adds = _count_operation(operation)
        if multi_adds:
            counts[layer] = counts.get(layer, 0) + multi_adds


def _count_operation(operation) -> int:
    if operation.type == "Conv2D":
        batch, height, width, filters = operation.outputs[0].shape
        _, *rate, _ = operation.get_attr("dilations")
        kernel = operation.inputs[1].shape
        padded = [side + -side % step for side, step in zip((height, width), rate)]
        return batch * math.prod(padded) * filters * math.prod(kernel[:3])
    if operation.type == "DepthwiseConv2dNative":
        kernel = operation.inputs[1].shape
        return math.prod(operation.outputs[0].shape) * math.prod(kernel[:2])
    if operation.type == "MatMul":
        inner = operation.inputs[0].shape[0 if operation.get_attr("transpose_a") else 1]
        return math.prod(operation.outputs[0].shape) * inner
    return 0

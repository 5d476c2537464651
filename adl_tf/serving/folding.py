"""Makes the graph of a network smaller without changing what it computes.

It works on the frozen graph rather than on layers, so it does not matter which layers, ours or
keras-cv's, a convolution and its batch norm come from.
"""

from typing import Collection, Dict, Optional, Set

import numpy as np
import tensorflow as tf

from adl_tf.serving.rounding import round_kernel

_PASS_ON = ("Identity", "Cast")
# Sizes at which resizings are looked at: odd and even, with room for all strides.
_PROBES = ((129, 161), (130, 196))


def fold(
    graph_def: tf.compat.v1.GraphDef, output: str, idle: Collection[str] = ()
) -> tf.compat.v1.GraphDef:
    """Folds batch norms into convolutions and phases of atrous convolutions into one.

    A batch norm with constant statistics behind a convolution becomes the convolution's
    kernel and a bias. An atrous convolution as Keras writes it (space to batch, a dense
    convolution, batch to space) becomes one with dilations, which has a kernel of its own on every
    device. Batch norms behind anything else stay.

    Args:
      graph_def: frozen; only atrous convolutions with SAME padding are expected.
      output: name of the node to compute.
      idle: names of resizings to leave out, see `idle_resizings`.

    Returns:
      the graph that computes it, and nothing else.
    """
    graph = _Graph(graph_def)
    for node in graph_def.node:
        if node.name in idle:
            graph.fold_resizing(node)
    for node in graph_def.node:
        if node.op == "BatchToSpaceND":
            graph.fold_phases(node)
    for node in graph_def.node:
        if node.op == "FusedBatchNormV3":
            graph.fold_batch_norm(node)
    # Last, so that kernels are rounded once, with their batch norms in them.
    for node in graph_def.node:
        if node.op == "Cast":
            graph.fold_cast(node)
    return graph.needed_for(output)


class _Graph:
    """A graph being rewritten, and the number of readers of each node."""

    def __init__(self, graph_def):
        self._graph_def = graph_def
        for node in graph_def.node:
            # Control dependencies on variable reads would keep the old kernels.
            node.input[:] = [name for name in node.input if not name.startswith("^")]
        self._nodes = {node.name: node for node in graph_def.node}
        self._readers: Dict[str, int] = {}
        for node in graph_def.node:
            for name in node.input:
                self._readers[_node_name(name)] = self._readers.get(_node_name(name), 0) + 1

    def _input(self, node, index: int):
        return self._nodes[_node_name(node.input[index])]

    def _constant(self, node) -> Optional[np.ndarray]:
        while node.op in _PASS_ON:
            node = self._input(node, 0)
        return tf.make_ndarray(node.attr["value"].tensor) if node.op == "Const" else None

    def _add_constant(self, name: str, value: np.ndarray, dtype: tf.DType) -> str:
        node = self._graph_def.node.add(name=name, op="Const")
        node.attr["dtype"].type = dtype.as_datatype_enum
        round_to = round_kernel if value.ndim == 4 and dtype.size < 4 else np.ndarray.astype
        tensor = tf.make_tensor_proto(round_to(value, dtype.as_numpy_dtype))
        node.attr["value"].tensor.CopyFrom(tensor)
        self._nodes[name] = node
        return name

    def needed_for(self, output: str) -> tf.compat.v1.GraphDef:
        """The nodes that one node depends on, as they are now."""
        needed, waiting = set(), [output]
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed.add(name)
                waiting.extend(_node_name(source) for source in self._nodes[name].input)
        kept = [node for node in self._graph_def.node if node.name in needed]
        return tf.compat.v1.GraphDef(node=kept, versions=self._graph_def.versions)

    def fold_cast(self, node) -> None:
        """A cast constant becomes a constant."""
        value = self._constant(node)
        if value is not None:
            dtype = tf.as_dtype(node.attr["DstT"].type)
            node.input[:] = [self._add_constant(f"{node.name}/folded", value, dtype)]
            _become(node, "Identity", T=dtype)

    def fold_phases(self, node) -> None:
        """SpaceToBatchND, Conv2D, BatchToSpaceND become one Conv2D."""
        convolution = self._input(node, 0)
        if convolution.op != "Conv2D" or self._readers[convolution.name] > 1:
            return
        phases = self._input(convolution, 0)
        rate = self._constant(self._input(node, 1))
        if phases.op != "SpaceToBatchND" or rate is None or len(rate) != 2:
            return
        node.input[:] = [phases.input[0], convolution.input[1]]
        node.op = "Conv2D"
        node.attr.clear()
        node.attr.MergeFrom(convolution.attr)
        node.attr["padding"].s = b"SAME"
        node.attr["dilations"].list.i[:] = [1, *rate.tolist(), 1]

    def fold_resizing(self, node) -> None:
        """A resizing to the size that is there already becomes its input."""
        node.input[:] = node.input[:1]
        source = tf.as_dtype(node.attr["T"].type)
        if source == tf.float32:
            _become(node, "Identity", T=source)
        else:
            _become(node, "Cast", SrcT=source, DstT=tf.float32)

    def fold_batch_norm(self, node) -> None:
        """Conv2D and FusedBatchNormV3 become Conv2D and BiasAdd."""
        convolution = self._input(node, 0)
        if convolution.op != "Conv2D" or self._readers[convolution.name] > 1:
            return
        constants = [self._constant(self._input(convolution, 1))]
        constants += [self._constant(self._input(node, index)) for index in range(1, 5)]
        if node.attr["is_training"].b or any(value is None for value in constants):
            return
        kernel, scale, offset, mean, variance = (value.astype(np.float64) for value in constants)
        scale /= np.sqrt(variance + node.attr["epsilon"].f)
        dtype = tf.as_dtype(node.attr["T"].type)
        name = f"{convolution.name}/kernel"
        convolution.input[1] = self._add_constant(name, kernel * scale, dtype)
        bias = self._add_constant(f"{node.name}/bias", offset - mean * scale, dtype)
        node.input[:] = [node.input[0], bias]
        _become(node, "BiasAdd", T=dtype)


def idle_resizings(graph_def: tf.compat.v1.GraphDef, images: str, batch_size: int = 1) -> Set[str]:
    """Names of the resizings that change no size, as those between feature maps of one stride.

    Where sizes are open, these are in the graph, and each copies a feature map on one core.

    Args:
      graph_def: frozen; maps images of any size.
      images: name of its input, float32 [B, H, W, 3].
      batch_size: B.
    """
    sources = {n.name: _tensor_name(n.input[0]) for n in graph_def.node if n.op == "ResizeBilinear"}
    if not sources:
        return set()
    tensors = [f"{name}:0" for name in sources] + list(sources.values())

    @tf.function(input_signature=[tf.TensorSpec([batch_size, None, None, 3])], autograph=False)
    def sizes(batch):
        maps = tf.graph_util.import_graph_def(graph_def, {images: batch}, tensors)
        return tf.stack([tf.shape(features)[1:3] for features in maps])

    idle = set(sources)
    for size in _PROBES:
        after, before = np.split(sizes(tf.zeros([batch_size, *size, 3])).numpy(), 2)
        same = (after == before).all(axis=-1)
        idle &= {name for name, equal in zip(sources, same) if equal}
    return idle


def _tensor_name(name: str) -> str:
    """ "a" -> "a:0"."""
    return name if ":" in name else f"{name}:0"


def _become(node, op: str, **types: tf.DType) -> None:
    """Changes the op of a node, and its types."""
    node.op = op
    node.attr.clear()
    for name, dtype in types.items():
        node.attr[name].type = dtype.as_datatype_enum


def _node_name(name: str) -> str:
    """ "a:1" -> "a"."""
    return name.partition(":")[0]

"""Pure functions as graphs without what tracing leaves over.

More than half of the nodes of a traced backward pass are zeros that nothing reads, constants that
are there many times, and identities. TensorFlow reads them again for each call of a function before
the first step, and takes longer to rewrite them away than this does.
"""

import functools
from typing import Callable, List, Sequence, Tuple

import tensorflow as tf

_IDENTITIES = ("Identity", "IdentityN")


def lean(function: Callable) -> Callable:
    """The same function; where a graph is being built, without nodes that do nothing.

    Args:
      function: pure function of structures of tensors and Nones, returns a structure of tensors.
    """

    @functools.wraps(function)
    def call(*args, **kwargs):
        if tf.executing_eagerly():
            return function(*args, **kwargs)
        tensors = [leaf for leaf in tf.nest.flatten((args, kwargs)) if leaf is not None]

        def of_tensors(*tensors):
            tensors = iter(tensors)
            packed_args, packed_kwargs = tf.nest.map_structure(
                lambda leaf: leaf if leaf is None else next(tensors), (args, kwargs)
            )
            return function(*packed_args, **packed_kwargs)

        specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in tensors]
        traced = tf.function(of_tensors, autograph=False).get_concrete_function(*specs)
        outputs = _copy(traced.graph, tensors)
        return tf.nest.pack_sequence_as(traced.structured_outputs, outputs)

    return call


def _copy(graph, tensors: Sequence[tf.Tensor]) -> List[tf.Tensor]:
    """Copies the lean nodes of a function's graph into the current one, reading `tensors`."""
    inputs = {_name(source): tensor for source, tensor in zip(graph.inputs, tensors)}
    nodes, outputs = lean_nodes(graph)
    graph_def = tf.compat.v1.GraphDef(node=nodes)
    graph_def.versions.CopyFrom(graph.graph_def_versions)
    read = {name for node in nodes for name in node.input}
    made = [name for name in outputs if name not in inputs]
    copies = tf.graph_util.import_graph_def(
        graph_def,
        input_map={name: tensor for name, tensor in inputs.items() if name in read},
        return_elements=[name if ":" in name else f"{name}:0" for name in made],
        name="lean",
    )
    tensors = {**inputs, **dict(zip(made, copies))}
    return [tensors[name] for name in outputs]


def lean_nodes(graph) -> Tuple[List, List[str]]:
    """What is left of a function's graph without identities, repetitions, and what nothing reads.

    Args:
      graph: `tf.Graph` of a traced function, with its inputs and outputs.

    Returns:
      (nodes, outputs): NodeDefs in an order in which they can be computed, without the inputs; the
      names of the outputs among their tensors and the inputs.
    """
    nodes = graph.as_graph_def().node
    arrived = {f"^{source.op.name}" for source in graph.inputs}
    awaited = {name[1:] for node in nodes for name in node.input if name.startswith("^")}
    same, computed, kept = {}, {}, []
    for node in nodes:
        operation = graph.get_operation_by_name(node.name)
        read = [same.get(name, name) for name in node.input if name not in arrived]
        if node.op in _IDENTITIES and node.name not in awaited:
            same.update(zip(map(_name, operation.outputs), read))
            continue
        if not operation.op_def.is_stateful:
            attributes = sorted((name, x.SerializeToString()) for name, x in node.attr.items())
            twin = computed.setdefault((node.op, *read, *attributes), operation)
            if twin is not operation:
                same.update(zip(map(_name, operation.outputs), map(_name, twin.outputs)))
                same[f"^{node.name}"] = f"^{twin.name}"
                continue
        node.input[:] = read
        kept.append(node)
    outputs = [same.get(_name(output), _name(output)) for output in graph.outputs]
    needed, result = {name.split(":")[0] for name in outputs}, []
    for node in reversed(kept):
        stateful = graph.get_operation_by_name(node.name).op_def.is_stateful
        if node.op != "Placeholder" and (node.name in needed or stateful):
            needed.update(name.lstrip("^").split(":")[0] for name in node.input)
            result.append(node)
    return result[::-1], outputs


def _name(tensor: tf.Tensor) -> str:
    """Name of a tensor as nodes have it: that of a first output has no index."""
    name, index = tensor.name.split(":")
    return name if index == "0" else tensor.name

"""Pure functions as graphs without what tracing leaves over.

More than half of the nodes of a traced backward pass are zeros that nothing reads, constants that
are there many times, and identities. TensorFlow reads them again for each call of a function before
the first step, and takes longer to rewrite them away than this does.
"""

from typing import Callable, List, Optional, Sequence, Tuple

import tensorflow as tf

_IDENTITIES = ("Identity", "IdentityN")


class LeanFunction:
    """A pure function, traced once for all parts of its results. To be called in graphs.

    Args:
      function: of structures of tensors and Nones, returns such a structure, too.
    """

    def __init__(self, function: Callable):
        # The arguments are results, too, since only TensorFlow knows the order of a graph's inputs.
        self._traced = tf.function(lambda *args: (args, function(*args)), autograph=False)

    def part(self, choose: Callable, fed: Optional[Callable] = None) -> Callable:
        """The function with a part of the results, of only the nodes that it needs.

        Args:
          choose: maps the results to the part, a structure of them.
          fed: maps the results to placeholders among them, for which the part takes tensors as its
            last argument.
        """

        def call(*args):
            args, last = (args[:-1], args[-1]) if fed else (args, ())
            specs = tf.nest.map_structure(
                lambda leaf: leaf if leaf is None else tf.TensorSpec(leaf.shape, leaf.dtype), args
            )
            graph = self._traced.get_concrete_function(*specs).graph
            sources, results = graph.structured_outputs
            sources = flatten(sources) + flatten(fed(results) if fed else ())
            part = choose(results)
            copies = _copy(graph, sources, flatten((args, last)), flatten(part))
            return pack_like(part, copies)

        return call


def flatten(structure) -> List[tf.Tensor]:
    """The tensors of a structure; None contributes none."""
    return [leaf for leaf in tf.nest.flatten(structure) if leaf is not None]


def pack_like(structure, tensors: Sequence[tf.Tensor]):
    """The inverse of `flatten`."""
    tensors = iter(tensors)
    return tf.nest.map_structure(lambda leaf: leaf if leaf is None else next(tensors), structure)


def _copy(graph, sources, tensors, wanted) -> List[tf.Tensor]:
    """Copies what a function's graph computes from its sources, here from `tensors`."""
    nodes, names = lean_nodes(graph, [*sources, *wanted])
    inputs = dict(zip(names, tensors))
    names = names[len(sources) :]
    graph_def = tf.compat.v1.GraphDef(node=nodes)
    graph_def.versions.CopyFrom(graph.graph_def_versions)
    read = {name for node in nodes for name in node.input}
    made = [name for name in names if name not in inputs]
    copies = tf.graph_util.import_graph_def(
        graph_def,
        input_map={name: tensor for name, tensor in inputs.items() if name in read},
        return_elements=[name if ":" in name else f"{name}:0" for name in made],
        name="lean",
    )
    tensors = {**inputs, **dict(zip(made, copies))}
    return [tensors[name] for name in names]


def lean_nodes(graph, wanted: Sequence[tf.Tensor]) -> Tuple[List, List[str]]:
    """The nodes that some tensors need, without identities, and each computation once.

    Args:
      graph: `tf.Graph` of a traced function, with its inputs.
      wanted: tensors of it.

    Returns:
      (nodes, names): NodeDefs in an order in which they can be computed, without the inputs; the
      names, among their tensors and the inputs, of those that are equal to the wanted ones.
    """
    nodes = graph.as_graph_def().node
    arrived = {f"^{node.name}" for node in nodes if node.op == "Placeholder"}
    awaited = {name[1:] for node in nodes for name in node.input if name.startswith("^")}
    same, computed, kept = {}, {}, []
    for node in nodes:
        if node.op == "Placeholder":
            continue
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
    names = [same.get(_name(tensor), _name(tensor)) for tensor in wanted]
    needed, result = {name.split(":")[0] for name in names}, []
    for node in reversed(kept):
        stateful = graph.get_operation_by_name(node.name).op_def.is_stateful
        if node.name in needed or stateful:
            needed.update(name.lstrip("^").split(":")[0] for name in node.input)
            result.append(node)
    return result[::-1], names


def _name(tensor: tf.Tensor) -> str:
    """Name of a tensor as nodes have it: that of a first output has no index."""
    name, index = tensor.name.split(":")
    return name if index == "0" else tensor.name

"""The body of a served network: a graph without batch norms, and its weights as variables."""

import contextlib
from typing import Optional, Tuple

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from adl_tf.serving.folding import fold, idle_resizings

POLICIES = {
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}


class Body(tf.Module):
    """A network for inference only, callable from any number of functions.

    Its weights are variables, which a SavedModel holds once and a server keeps in memory once,
    however many signatures use them.

    Args:
      network: maps float32 [B, H, W, 3] in [-1, 1] to float32 logits [B, H, W, classes].
      batch_size, image_size: batch size and image size of the input; None for what varies.
      folded: whether batch norms are folded into convolutions.

    Attributes:
      batch_norms: how many are left.
      num_classes: number of classes of its logits.
    """

    def __init__(
        self,
        network: tf.keras.Model,
        batch_size: Optional[int] = None,
        image_size: Optional[Tuple[int, int]] = None,
        folded: bool = True,
    ):
        super().__init__(name="body")
        self.spec = tf.TensorSpec([batch_size, *(image_size or (None, None)), 3], tf.float32)
        function = tf.function(lambda images: network(images, training=False), autograph=False)
        frozen = convert_variables_to_constants_v2(function.get_concrete_function(self.spec))
        (images,), (logits,) = frozen.inputs, frozen.outputs
        graph_def = frozen.graph.as_graph_def()
        if folded:
            idle = ()
            if image_size is None:
                idle = idle_resizings(graph_def, images.name, batch_size or 1)
            graph_def = fold(graph_def, logits.op.name, idle)
        self._shape = logits.shape
        self.num_classes = logits.shape[-1]
        self._images, self._logits = images.name, logits.name
        self.batch_norms = sum(node.op == "FusedBatchNormV3" for node in graph_def.node)
        self._graph_def, self._weights = _split(graph_def)

    def __call__(self, images: tf.Tensor) -> tf.Tensor:
        """Adds the body to the graph of the function that is being traced.

        Args:
          images: float32 [B, H, W, 3] in [-1, 1].

        Returns:
          float32 logits [B, H, W, classes].
        """
        inputs = {name: tf.identity(value) for name, value in self._weights.items()}
        inputs[self._images] = images
        (logits,) = tf.graph_util.import_graph_def(
            self._graph_def, input_map=inputs, return_elements=[self._logits], name="body"
        )
        return tf.ensure_shape(logits, self._shape)


@contextlib.contextmanager
def precision(dtype: str):
    """Networks built or traced inside the block compute in a dtype of `POLICIES`."""
    policy = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(POLICIES[dtype])
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(policy)


def _split(graph_def):
    """The graph without images and weights, and the weights by the names of their tensors."""
    rest, weights = tf.compat.v1.GraphDef(versions=graph_def.versions), {}
    for node in graph_def.node:
        if node.op == "Const" and _is_weight(node.attr["value"].tensor):
            weight = tf.make_ndarray(node.attr["value"].tensor)
            weights[f"{node.name}:0"] = tf.Variable(weight, trainable=False)
        elif node.op != "Placeholder":
            rest.node.append(node)
    return rest, weights


def _is_weight(tensor):
    return tf.as_dtype(tensor.dtype).is_floating and len(tensor.tensor_shape.dim) > 0

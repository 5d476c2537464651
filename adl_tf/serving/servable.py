"""A network with all that serving needs: images in, labels out, and class names."""

import dataclasses
import functools
import os
import tempfile
from typing import Dict, Sequence

import tensorflow as tf

from adl_tf.data.normalization import normalize
from adl_tf.layers.convolution import resize
from adl_tf.model_directory import CLASSES_FILE
from adl_tf.models.classes import Classes
from adl_tf.serving.body import Body
from adl_tf.serving.images import decode_batch
from adl_tf.serving.options import MAX_PIXELS
from adl_tf.system.files import write_json


class Servable(tf.Module):
    """The functions of an export, over one body.

    Args:
      body: the network.
      classes: what its labels mean.
      outputs: some of `options.OUTPUTS`.
      xla_default: whether `serving_default` is compiled.
      max_pixels: largest image that is decoded.

    Attributes:
      image_bytes: input of the signatures for encoded images, string [B].
      images: input of those for pixels, uint8 [B, H, W, 3].
    """

    def __init__(
        self,
        body: Body,
        classes: Classes,
        outputs: Sequence[str] = ("labels",),
        xla_default: bool = False,
        max_pixels: int = MAX_PIXELS,
    ):
        super().__init__(name="servable")
        self._outputs = tuple(outputs)
        self._max_pixels = max_pixels
        batch, *image_size, _ = body.spec.shape
        self._image_size = None if None in image_size else tuple(image_size)
        self._plain = body
        self._compiled = tf.function(body, jit_compile=True, autograph=False)
        self.image_bytes = tf.TensorSpec([batch], tf.string, name="image_bytes")
        self.images = tf.TensorSpec(body.spec.shape, tf.uint8, name="images")
        self._xla_default = xla_default
        names, colors = classes.class_names, classes.colors
        self.classes = tf.function(
            lambda: {"names": tf.constant(names), "colors": tf.constant(colors, tf.uint8)},
            input_signature=[],
            autograph=False,
        )
        self._folder = tempfile.TemporaryDirectory()
        path = os.path.join(self._folder.name, CLASSES_FILE)
        write_json(dataclasses.asdict(classes), path)
        self.classes_file = tf.saved_model.Asset(path)

    @functools.cached_property
    def predict(self) -> tf.types.experimental.ConcreteFunction:
        """The function of encoded images that `serving_default` offers."""
        default = self._compiled if self._xla_default else self._plain
        return self._signature(self._from_bytes, default, self.image_bytes)

    def signatures(self) -> Dict[str, tf.types.experimental.ConcreteFunction]:
        """The functions that a server offers, by name."""
        return {
            "serving_default": self.predict,
            "serving_tensor": self._signature(self._from_tensor, self._plain, self.images),
            "serving_xla": self._signature(self._from_bytes, self._compiled, self.image_bytes),
            "serving_tensor_xla": self._signature(self._from_tensor, self._compiled, self.images),
            "classes": self.classes.get_concrete_function(),
        }

    def _signature(self, function, body, spec):
        traced = tf.function(
            lambda *inputs: function(body, *inputs), input_signature=[spec], autograph=False
        )
        return traced.get_concrete_function()

    def _from_bytes(self, body, image_bytes):
        images, size = decode_batch(image_bytes, self._image_size, self._max_pixels)
        logits = body(images)
        # Only a single image whose size differs from the network's needs resizing.
        same = tf.reduce_all(tf.shape(logits)[1:3] == size)
        logits = tf.cond(same, lambda: logits, lambda: resize(logits, tf.unstack(size)))
        return self._results(logits)

    def _from_tensor(self, body, images):
        return self._results(body(normalize(images)))

    def _results(self, logits):
        # Label maps have 8 bits wherever that is enough.
        labels = tf.argmax(logits, -1, tf.int32)
        if logits.shape[-1] <= 256:
            labels = tf.cast(labels, tf.uint8)
        results = {"labels": labels, "logits": logits}
        if "probabilities" in self._outputs:
            results["probabilities"] = tf.nn.softmax(logits)
        return {name: tf.identity(results[name], name) for name in self._outputs}

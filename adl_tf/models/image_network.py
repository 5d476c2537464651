"""Checks of images that every network makes before it computes anything."""

import tensorflow as tf

from adl_tf.data.normalization import require_normalized


class ImageNetwork:
    """Mixin of the package's networks: checks images before Keras casts them or wraps an error.

    To be named before the model in a class's bases. It is no model itself, since Keras changes
    the bases of a functional model, and would change those of every other network with them.
    """

    @tf.autograph.experimental.do_not_convert
    def __call__(self, images, *args, **kwargs):
        self.check_images(images)
        return super().__call__(images, *args, **kwargs)

    def check_images(self, images) -> None:
        """Raises ValueError, with one line, for images that the network cannot compute.

        Args:
          images: a tensor, an array, or anything else with a shape and a dtype.
        """
        require_normalized(images)

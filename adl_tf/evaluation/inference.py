"""From a network to label maps: several scales, mirrored, whole images or sliding windows."""

import functools
from typing import Optional, Sequence

import tensorflow as tf

from adl_tf.data.description import Size
from adl_tf.data.normalization import require_normalized
from adl_tf.layers.convolution import resize, spatial_size


class Predictor:
    """Predicts images with a network, averaging the softmax over scaled and mirrored views.

    A view is the image, resized bilinearly and mirrored where it should be; its logits are
    resized to the image's size before the softmax. A side of n pixels is scaled by s to
    floor((n - 1) * s + 1) pixels, as in the reference, and resizing keeps the corners, as in
    training. One view at a time is in memory, beside the sum.

    With windows, a view's logits are the mean of those of the windows that cover a pixel. They
    start every `stride` pixels, the last one ends where the view does; a view smaller than a
    window is filled up with the mean color, as crops are in training.

    Example:
      >>> from adl_tf.models.auto_deeplab import DecodedNetwork
      >>> genotype = {"path": (0,), "cell": [[(0, "skip_connect"), (1, "skip_connect")]]}
      >>> network = DecodedNetwork(genotype, filter_multiplier=1, num_classes=5)
      >>> predictor = Predictor(network, scales=(0.5, 1.0), flip=True)
      >>> predictor(tf.zeros([1, 33, 47, 3])).shape
      TensorShape([1, 33, 47])

    Reference:
      Liu et al., Auto-DeepLab, section 4.2, multi-scale inputs during evaluation,
      https://arxiv.org/abs/1901.02985.

    Args:
      network: maps float32 [B, h, w, 3] in [-1, 1] to logits [B, h, w, classes], when called
        as network(images, training=False); has `num_classes`.
      scales: factors of the views.
      flip: whether each view is also taken mirrored left to right.
      crop_size: (height, width) of windows; None for whole views.
      stride: (y, x) distance of windows; None for two thirds of a window.
      image_size: (height, width) of the images where all have the same: the network then gets
        static shapes and is traced for each scale. None traces it once for all sizes. Windows
        have a static size in any case.

    Raises:
      ValueError: scales, windows or strides that are not positive, a stride without windows
        or longer than these.
    """

    def __init__(
        self,
        network,
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        crop_size: Optional[Size] = None,
        stride: Optional[Size] = None,
        image_size: Optional[Size] = None,
    ):
        if not scales or min(scales) <= 0:
            raise ValueError(f"scales {list(scales)}: give at least one, each above 0.")
        if crop_size and min(crop_size) < 1:
            raise ValueError(f"crop_size {tuple(crop_size)}: both sides must be above 0.")
        if stride and not crop_size:
            raise ValueError(f"stride {tuple(stride)} without windows: give crop_size too.")
        if crop_size and not stride:
            stride = tuple(max(1, 2 * side // 3) for side in crop_size)
        if crop_size and not all(1 <= step <= side for step, side in zip(stride, crop_size)):
            raise ValueError(
                f"stride {tuple(stride)} of windows of {tuple(crop_size)}: it must be at least 1 "
                "and no longer than the window, or pixels between windows would be left out."
            )
        self._num_classes = network.num_classes
        self._crop_size, self._stride = crop_size, stride
        self._directions = [tf.constant(step) for step in ((1, -1) if flip else (1,))]
        # A separate function, so that scales with one input shape share its traces.
        self._network = tf.function(lambda images: network(images, training=False), autograph=False)
        images = tf.TensorSpec([None, *(image_size or (None, None)), 3])
        self._views = [
            tf.function(
                functools.partial(self._view, scale),
                input_signature=[images, tf.TensorSpec([], tf.int32)],
                autograph=False,
            )
            for scale in scales
        ]

    def __call__(self, images) -> tf.Tensor:
        """Label maps of a batch.

        Args:
          images: float32 [B, H, W, 3] in [-1, 1].

        Returns:
          int32 [B, H, W].

        Raises:
          ValueError: images of integers, which were not normalised.
        """
        return tf.argmax(self.probabilities(images), -1, tf.int32)

    def probabilities(self, images) -> tf.Tensor:
        """Mean of the views' softmax, float32 [B, H, W, classes]; see `__call__`."""
        require_normalized(images)
        total = 0.0
        for view in self._views:
            for direction in self._directions:
                total += view(images, direction)
        return total / (len(self._views) * len(self._directions))

    def _view(self, scale, images, direction):
        """Softmax of one view at the size of the images; direction -1 mirrors it."""
        size = spatial_size(images)
        view = resize(images, [_scaled(side, scale) for side in size])
        view = tf.ensure_shape(view[:, :, ::direction], view.shape)
        logits = self._window_logits(view) if self._crop_size else self._network(view)
        return tf.nn.softmax(resize(logits[:, :, ::direction], size))

    def _window_logits(self, view):
        """Mean of the logits of all windows, [B, H, W, classes]."""
        crop_height, crop_width = self._crop_size
        shape = tf.shape(view)
        missing = tf.maximum(self._crop_size - shape[1:3], 0)
        view = tf.pad(view, [[0, 0], [0, missing[0]], [0, missing[1]], [0, 0]])
        height, width = tf.unstack(tf.shape(view)[1:3])
        tops = _window_starts(height, crop_height, self._stride[0])
        lefts = _window_starts(width, crop_width, self._stride[1])
        starts = tf.reshape(tf.stack(tf.meshgrid(tops, lefts), -1), [-1, 2])

        def add(sums, start):
            top, left = tf.unstack(start)
            window = view[:, top : top + crop_height, left : left + crop_width]
            logits = self._network(tf.ensure_shape(window, [None, *self._crop_size, 3]))
            # One more channel counts how many windows cover a pixel.
            logits = tf.concat([logits, tf.ones_like(logits[..., :1])], -1)
            bottom, right = height - top - crop_height, width - left - crop_width
            return sums + tf.pad(logits, [[0, 0], [top, bottom], [left, right], [0, 0]])

        nothing = tf.zeros([shape[0], height, width, self._num_classes + 1])
        sums = tf.foldl(add, starts, nothing, parallel_iterations=1)
        return (sums[..., :-1] / sums[..., -1:])[:, : shape[1], : shape[2]]


def _scaled(side, scale: float):
    """Length of a scaled side, an integer of one and a tensor of a tensor."""
    if isinstance(side, int):
        return int((side - 1) * scale + 1)
    return tf.cast(tf.cast(side - 1, tf.float64) * scale + 1, tf.int32)


def _window_starts(length, window: int, stride: int):
    """First pixels of the windows along one side, int32 [n]; the last one ends at its end."""
    last = length - window
    return tf.minimum(tf.range(-(-last // stride) + 1) * stride, last)

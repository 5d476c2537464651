"""Convolutions and resizing as plain functions of tensors."""

import functools

import numpy as np
import tensorflow as tf

from adl_tf.layers.custom_gradient import custom_gradient
from adl_tf.space.ops import ATROUS_RATE

BATCH_NORM_EPSILON = 1e-3
BATCH_NORM_MOMENTUM = 0.95
_UNIT = [1, 1, 1, 1]


@functools.cache
def require_cpu_kernels() -> None:
    """Makes sure, once per process, that this machine has the kernels that networks train with.

    On CPU the gradients of grouped and of atrous convolutions are oneDNN's, and TensorFlow decides
    once, as early as it is imported, whether to use that.

    Raises:
      ValueError: there is no GPU, and TensorFlow runs without oneDNN.
    """
    if tf.config.list_physical_devices("GPU"):
        return
    # Runs at once, whatever graph is being built around it.
    with tf.init_scope(), tf.device("CPU:0"):
        x, kernel = tf.ones([1, 3, 3, 2]), tf.ones([3, 3, 1, 2])
        options = {"out_backprop": x, "strides": _UNIT, "padding": "SAME"}
        atrous = [1, ATROUS_RATE, ATROUS_RATE, 1]
        try:
            tf.raw_ops.Conv2DBackpropInput(input_sizes=x.shape, filter=kernel, **options)
            tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=[3, 3, 2, 2], dilations=atrous, **options
            )
        except tf.errors.OpError as error:
            raise ValueError(
                "TensorFlow runs without oneDNN, so it has no gradients of grouped and of atrous "
                "convolutions on this CPU: unset TF_ENABLE_ONEDNN_OPTS, and import adl_tf before "
                "tensorflow."
            ) from error


def _filter_gradient_5x5(x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """Gradient of a 5x5 depthwise kernel from two windows three taps wide.

    TensorFlow's CPU kernel for it leaves its fast path at widths above three:
    two narrow windows, columns 0-2 and 2-4, take a fifth of the time.
    """
    windows = []
    for pad_columns in ([2, 0], [0, 2]):
        windows.append(
            tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                input=tf.pad(x, [[0, 0], [2, 2], pad_columns, [0, 0]]),
                filter_sizes=[5, 3, x.shape[-1], 1],
                out_backprop=dy,
                strides=_UNIT,
                padding="VALID",
            )
        )
    return tf.concat([windows[0], windows[1][:, 1:]], axis=1)


@custom_gradient
def _depthwise_5x5(x, kernel):
    y = tf.nn.depthwise_conv2d(x, kernel, _UNIT, "SAME")

    def gradient(dy):
        dx = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
            input_sizes=tf.shape(x), filter=kernel, out_backprop=dy, strides=_UNIT, padding="SAME"
        )
        return dx, _filter_gradient_5x5(x, dy)

    return y, gradient


def _padding(x: tf.Tensor, kernel: tf.Tensor, stride: int):
    """Padding that centers the kernel on the pixels 0, stride, 2 * stride, ...

    "SAME" does so where it pads both ends equally: always at stride 1, at stride 2 on odd sides. On
    even sides it would center on the pixels 1, 3, 5, ...
    """
    side = kernel.shape[0]
    if stride == 1 or all(size is not None and size % 2 for size in x.shape[1:3]):
        return "SAME"
    margin = [side // 2, side // 2]
    return [[0, 0], margin, margin, [0, 0]]


def depthwise_conv2d(x: tf.Tensor, kernel: tf.Tensor, stride: int = 1, training=True) -> tf.Tensor:
    """Depthwise convolution; at stride 2 the kernel is centered on every second pixel from 0 on.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, 1].
      stride: 1 or 2.
      training: whether gradients will be computed.

    Returns:
      [B, H, W, C], H and W divided by the stride and rounded up.
    """
    on_cpu = not tf.config.list_physical_devices("GPU")
    if training and stride == 1 and on_cpu and kernel.shape[0] == kernel.shape[1] == 5:
        return _depthwise_5x5(x, kernel)
    return tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], _padding(x, kernel, stride))


def pointwise_conv2d(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """1x1 convolution. [B, H, W, C], [1, 1, C, K] -> [B, H, W, K]."""
    if tf.config.list_physical_devices("GPU"):
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    # With few channels a product of matrices takes a half to a sixth of the time of oneDNN's
    # convolution, and its gradients even less.
    channels, filters = kernel.shape[2:]
    y = tf.matmul(tf.reshape(x, [-1, channels]), tf.reshape(kernel, [channels, filters]))
    return tf.reshape(y, [-1, *spatial_size(x), filters])


def conv2d(
    x: tf.Tensor, kernel: tf.Tensor, stride: int = 1, rate: int = 1, training=True
) -> tf.Tensor:
    """Convolution with a stride or an atrous rate.

    At stride 2 the kernel is centered on every second pixel from 0 on.

    Args:
      x: [B, H, W, C].
      kernel: [k, k, C, K].
      stride: 1 or 2.
      rate: atrous rate.
      training: whether gradients will be computed.

    Returns:
      [B, H, W, K], H and W divided by the stride and rounded up.
    """
    # TensorFlow fuses the convolutions of inference with what follows.
    if training and stride == 1 and kernel.shape[0] == kernel.shape[1] == 1:
        return pointwise_conv2d(x, kernel)
    # On CPU, only oneDNN has gradients of atrous kernels, and on some processors only for float32.
    if rate > 1 and x.dtype != tf.float32 and not tf.config.list_physical_devices("GPU"):
        return tf.nn.convolution(x, kernel, 1, "SAME", dilations=rate)
    return tf.nn.conv2d(x, kernel, stride, _padding(x, kernel, stride), dilations=rate)


@functools.cache
def _has_grouped_gradient(dtype: tf.DType) -> bool:
    """Whether this machine has the gradient of grouped convolutions in a precision."""
    if tf.config.list_physical_devices("GPU"):
        return True
    # Runs at once, whatever graph is being built around it.
    with tf.init_scope(), tf.device("CPU:0"):
        x, kernel = tf.ones([1, 3, 3, 2], dtype), tf.ones([1, 1, 1, 2], dtype)
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=x.shape, filter=kernel, out_backprop=x, strides=_UNIT, padding="SAME"
            )
        except tf.errors.OpError:
            return False
    return True


def grouped_conv2d(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Convolution of groups of channels, as many as their number fits into that of x.

    Args:
      x: [B, H, W, groups * C].
      kernel: [k, k, C, K], K a multiple of the groups.

    Returns:
      [B, H, W, K]; computed in float32 where the machine has no gradient in x's precision.
    """
    if _has_grouped_gradient(x.dtype):
        return tf.nn.conv2d(x, kernel, 1, "SAME")
    y = tf.nn.conv2d(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32), 1, "SAME")
    return tf.cast(y, x.dtype)


def in_phases(function, x: tf.Tensor, rate: int) -> tf.Tensor:
    """Applies a stride-1 SAME convolution with atrous `rate`, as one of rate 1.

    The image is split into rate x rate phases on the batch axis, where an atrous kernel becomes a
    dense one. Native dilated depthwise kernels have wrong gradients on CPU (TensorFlow 2.15 ignores
    the rate there).

    Args:
      function: maps [N, h, w, C] to [N, h, w, K].
      x: [B, H, W, C]; H and W need not be multiples of the rate.
      rate: atrous rate.

    Returns:
      [B, H, W, K].
    """
    pads = [[0, -x.shape[axis] % rate] for axis in (1, 2)]
    phases = tf.space_to_batch(x, [rate, rate], pads)
    return tf.batch_to_space(function(phases), [rate, rate], pads)


def average_pool(x: tf.Tensor) -> tf.Tensor:
    """3x3 average of the pixels inside the image, stride 1. [B, H, W, C] -> the same."""
    # As a convolution, since the gradient of the pooling kernel is slow on CPU.
    ones = tf.ones([3, 3, x.shape[-1], 1], x.dtype)
    inside = [np.convolve(np.ones(side), np.ones(3))[1:-1] for side in x.shape[1:3]]
    weight = (1.0 / np.outer(*inside)).astype(np.float32)[None, :, :, None]
    return tf.nn.depthwise_conv2d(x, ones, _UNIT, "SAME") * tf.cast(weight, x.dtype)


# Pixels of fewer bytes take longer to copy one by one than a product with identities.
_BYTES_TO_COPY = 64


def tile_channels(x: tf.Tensor, copies: int) -> tf.Tensor:
    """Copies side by side along channels. [B, H, W, C] -> [B, H, W, copies * C]."""
    channels = x.shape[-1]

    @custom_gradient
    def tile(x):
        if channels * x.dtype.size < _BYTES_TO_COPY:
            identities = np.tile(np.eye(channels), copies)[None, None]
            y = pointwise_conv2d(x, tf.constant(identities, x.dtype))
        else:
            y = tf.concat([x] * copies, axis=-1)
        # The gradient of concat would slice out and add each copy separately.
        return y, lambda dy: sum_channel_groups(dy, copies)

    return tile(x) if copies > 1 else x


def sum_channel_groups(x: tf.Tensor, groups: int) -> tf.Tensor:
    """Sums equal groups of channels. [B, H, W, groups * C] -> [B, H, W, C]."""

    @custom_gradient
    def total(x):
        shape, channels = tf.shape(x), x.shape[-1] // groups
        y = tf.reduce_sum(tf.reshape(x, [-1, groups, channels]), axis=1)
        y = tf.reshape(y, tf.concat([shape[:-1], [channels]], axis=0))
        return tf.ensure_shape(y, [*x.shape[:-1], channels]), lambda dy: tile_channels(dy, groups)

    return total(x) if groups > 1 else x


def batch_norm(x, mean, variance, scale=None, training=True):
    """Batch norm without offset.

    Args:
      x: [B, H, W, C] of any precision; all others are float32.
      mean, variance: [C], what to normalize with unless `training`.
      scale: [C] or None for 1.
      training: normalize with the batch's own statistics.

    Returns:
      (y, mean, variance): [B, H, W, C], and the statistics used; the variance of a
      batch is the unbiased one.
    """
    nothing = tf.constant([], tf.float32)
    # On CPU, oneDNN normalizes other numbers of channels ten times slower in 16 bits.
    in_float32 = x.shape[-1] % 16 and not tf.config.list_physical_devices("GPU")
    y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=tf.cast(x, tf.float32) if in_float32 else x,
        scale=tf.ones_like(mean) if scale is None else scale,
        offset=tf.zeros_like(mean),
        mean=nothing if training else mean,
        variance=nothing if training else variance,
        epsilon=BATCH_NORM_EPSILON,
        is_training=training,
    )
    return tf.cast(y, x.dtype), mean, variance


@custom_gradient
def gated(x: tf.Tensor, gate: tf.Tensor):
    """x times a float32 scalar, in x's precision; the gradient of the scalar is a float32 sum."""
    factor = tf.cast(gate, x.dtype)

    def gradient(dy):
        return dy * factor, tf.reduce_sum(tf.cast(dy, tf.float32) * tf.cast(x, tf.float32))

    return factor * x, gradient


def spatial_size(x: tf.Tensor):
    """Height and width of [B, H, W, C]: integers where they are known, else scalar tensors."""
    if None in x.shape[1:3]:
        return tuple(tf.unstack(tf.shape(x)[1:3]))
    return tuple(x.shape[1:3])


def resize(x: tf.Tensor, size) -> tf.Tensor:
    """Bilinear resizing that keeps the corners. [B, H, W, C] -> [B, *size, C], x's dtype."""
    known = all(isinstance(side, int) for side in size)
    if known and tuple(x.shape[1:3]) == tuple(size):
        return x
    return tf.cast(tf.raw_ops.ResizeBilinear(images=x, size=size, align_corners=True), x.dtype)

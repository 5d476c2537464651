"""A served network on images of any size: by tiles, with the answers that it has for the whole.

Two things in a network depend on where in the whole image a tile is, and are told to it: what is
resized keeps the corners of the whole, so that its positions are the whole's; and the mean over a
feature map is that of the whole, found by a first pass over the tiles. All else depends on a
neighborhood, which the margin of a tile holds.
"""

import functools
import itertools
from typing import Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from adl_tf.data.description import Size
from adl_tf.serving.tile_positions import (
    Span,
    cut,
    feature_range,
    image_rows,
    own_features,
    sampled_range,
)

# Pixels that a tile answers for, along each side, and those around them that it sees: the heads
# reach 96, what is before them some more.
CORE, MARGIN = 1408, 320
# Side of the image by which strides are found, and bytes of the logits that are resized at a time.
_PROBE, _BYTES = 257, 2**28


class Part(NamedTuple):
    """Logits of a part of an image.

    Attributes:
      rows, columns: rows and columns of the image, [first, last).
      logits: float32 [h, w, classes].
    """

    rows: Tuple[int, int]
    columns: Tuple[int, int]
    logits: np.ndarray


class Tile(NamedTuple):
    """A part of an image that the network sees."""

    rows: Span
    columns: Span


class TiledNetwork:
    """A served network for large images.

    Args:
      served: maps `images`, uint8 [1, H, W, 3], to `labels`; of an export or a `Servable`.
      core, margin: core and margin of the tiles, in pixels; see `tile_positions.cut`.

    Attributes:
      image_size: (height, width) that its images must have; None for any.
      num_classes: number of classes of the logits.
    """

    def __init__(
        self, served: tf.types.experimental.ConcreteFunction, core: int = CORE, margin: int = MARGIN
    ):
        frozen = convert_variables_to_constants_v2(served)
        self._core, self._margin = core, margin
        self._graph = frozen.graph.as_graph_def()
        (images,) = frozen.inputs
        self._images = images.name
        size = tuple(images.shape[1:3])
        self.image_size = None if None in size else size
        choice = frozen.outputs[0].op  # Of labels: the first by name.
        while choice.type != "ArgMax":
            choice = choice.inputs[0].op
        (self._logits, _) = (tensor.name for tensor in choice.inputs)
        self.num_classes = choice.inputs[0].shape[-1]
        self._means = [op for op in frozen.graph.get_operations() if _is_global_mean(op)]
        self._whole = self._function(self._graph, [], [self._logits])

    def parts(
        self,
        image: np.ndarray,
        size: Size,
        report: Callable[[str], None] = lambda text: None,
    ) -> Iterator[Part]:
        """Logits of an image, part by part.

        Args:
          image: as the network sees it, uint8 [h, w, 3], of `image_size` if that is fixed.
          size: (height, width) that the logits are resized to.
          report: is told which tile comes next, if there are several.
        """
        seen_size = image.shape[:2]
        for tile, logits in self._tile_logits(image, report):
            spans = (tile.rows, tile.columns)
            (top, bottom), columns = (image_rows(*sides) for sides in zip(spans, seen_size, size))
            width = columns[1] - columns[0]
            step = max(1, _BYTES // max(1, 4 * width * self.num_classes))
            for first in range(top, bottom, step):
                rows = (first, min(bottom, first + step))
                yield Part(rows, columns, _sample(logits, tile, seen_size, (rows, columns), size))

    def _tile_logits(self, image: np.ndarray, report) -> Iterator[Tuple[Tile, tf.Tensor]]:
        """Logits [1, h, w, classes] of each tile, of all that it sees."""
        rows, columns = (cut(side, self._core, self._margin) for side in image.shape[:2])
        tiles = [Tile(row, column) for row in rows for column in columns]
        if len(tiles) == 1 or self.image_size:
            whole = Tile(*(Span(0, side, 0, side) for side in image.shape[:2]))
            yield whole, self._whole(tf.constant(image[None]))[0]
            return
        passes = 2 if self._means else 1
        numbers = itertools.count(1)

        def tell():
            report(f"tile {next(numbers)} of {passes * len(tiles)}")

        means = self._mean_features(image, tiles, tell)
        for tile in tiles:
            tell()
            yield tile, self._placed(*self._inputs(image, tile), *means)[0]

    def _mean_features(self, image: np.ndarray, tiles: Sequence[Tile], tell) -> List[tf.Tensor]:
        """The network's means over whole feature maps for this image."""
        if not self._means:
            return []
        sums, count = [0.0] * len(self._means), [0] * len(self._means)
        for tile in tiles:
            tell()
            for index, features in enumerate(self._features(*self._inputs(image, tile))):
                stride = self._strides[self._means[index].inputs[0].name]
                own = features[
                    0, own_features(tile.rows, stride), own_features(tile.columns, stride)
                ].numpy()
                sums[index] = sums[index] + own.sum((0, 1), np.float64)
                count[index] += own.shape[0] * own.shape[1]
        return [
            tf.reshape(
                tf.constant(total / number, op.outputs[0].dtype),
                [1, *[1] * (op.outputs[0].shape.rank - 2), -1],
            )
            for total, number, op in zip(sums, count, self._means)
        ]

    def _inputs(self, image: np.ndarray, tile: Tile) -> Tuple[tf.Tensor, tf.Tensor]:
        """The pixels of a tile, and what each resizing reads of its input, [resizings, 4]."""
        rows, columns = tile
        pixels = image[None, rows.start : rows.stop, columns.start : columns.stop]
        boxes = []
        for name, source in self._resizings.items():
            strides = self._strides[f"{name}:0"], self._strides[source]
            ranges = [feature_range(s, n, *strides) for s, n in zip(tile, image.shape[:2])]
            boxes.append([low for low, _ in ranges] + [high for _, high in ranges])
        return tf.constant(pixels), tf.constant(boxes, tf.float32, [len(boxes), 4])

    @functools.cached_property
    def _resizings(self) -> Dict[str, str]:
        """Names of the resizings that keep corners and change the stride -> of what they resize."""
        return {
            name: source
            for name, source in _corner_resizings(self._graph).items()
            if self._strides[f"{name}:0"] != self._strides[source]
        }

    @functools.cached_property
    def _strides(self) -> Dict[str, int]:
        """Of the feature maps that are resized or averaged, by name."""
        resizings = _corner_resizings(self._graph)
        names = {op.inputs[0].name for op in self._means}
        names |= {f"{name}:0" for name in resizings} | set(resizings.values())
        names = sorted(names)
        probe = tf.zeros([1, _PROBE, _PROBE, 3], tf.uint8)
        maps = self._function(self._graph, [], names)(probe)
        lengths = [features.shape[1] for features in maps]
        return {name: (_PROBE - 1) // max(1, n - 1) for name, n in zip(names, lengths)}

    @functools.cached_property
    def _placed(self) -> Callable:
        """Logits of a tile, given what its resizings read, and means."""
        graph = _place_resizings(self._graph, list(self._resizings))
        return self._function(graph, [op.outputs[0] for op in self._means], [self._logits], True)

    @functools.cached_property
    def _features(self) -> Callable:
        """The features that a tile's means are taken over, given what its resizings read."""
        graph = _place_resizings(self._graph, list(self._resizings))
        return self._function(graph, [], [op.inputs[0].name for op in self._means], True)

    def _function(self, graph, given: Sequence[tf.Tensor], outputs, placed: bool = False):
        """A function of images, boxes if `placed`, and the tensors that are given."""
        specs = [tf.TensorSpec([1, *(self.image_size or (None, None)), 3], tf.uint8)]
        specs += [tf.TensorSpec([None, 4])] if placed else []
        specs += [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in given]

        def run(images, *others):
            inputs = {self._images: images}
            if placed:
                boxes, *others = others
                inputs.update(
                    (_box_name(name) + ":0", boxes[index : index + 1])
                    for index, name in enumerate(self._resizings)
                )
            inputs.update((tensor.name, value) for tensor, value in zip(given, others))
            return tf.graph_util.import_graph_def(graph, inputs, outputs, name="served")

        return tf.function(run, input_signature=specs, autograph=False)


def _sample(logits, tile: Tile, seen_size: Size, part, size: Size) -> np.ndarray:
    """Logits of a part of the image, of those of a tile of the resized image."""
    if seen_size == size:
        (top, bottom), (left, right) = (
            (first - span.start, last - span.start) for span, (first, last) in zip(tile, part)
        )
        return logits[0, top:bottom, left:right].numpy()
    ranges = [
        sampled_range(own, total, (span.start, span.stop), seen)
        for own, total, span, seen in zip(part, size, tile, seen_size)
    ]
    box = [[low for low, _ in ranges] + [high for _, high in ranges]]
    shape = [last - first for first, last in part]
    return tf.image.crop_and_resize(logits, box, [0], shape)[0].numpy()


def _is_global_mean(op) -> bool:
    """Whether an operation is the mean over a feature map."""
    if op.type != "Mean" or op.inputs[0].shape.rank != 4:
        return False
    axes = tf.get_static_value(op.inputs[1])
    return axes is not None and sorted(np.ravel(axes).tolist()) == [1, 2]


def _corner_resizings(graph) -> Dict[str, str]:
    """Names of the resizings that keep corners -> of the tensors that they resize."""
    return {
        node.name: node.input[0] if ":" in node.input[0] else f"{node.input[0]}:0"
        for node in graph.node
        if node.op == "ResizeBilinear" and node.attr["align_corners"].b
    }


def _box_name(name: str) -> str:
    return f"{name}/box"


def _place_resizings(graph, names: Sequence[str]):
    """The graph with a placeholder for what each of these resizings reads of its input."""
    placed = tf.compat.v1.GraphDef()
    placed.CopyFrom(graph)
    float32 = tf.float32.as_datatype_enum
    for node in [node for node in placed.node if node.name in names]:
        source, size = node.input
        box = placed.node.add(name=_box_name(node.name), op="Placeholder")
        box.attr["dtype"].type = float32
        which = placed.node.add(name=f"{node.name}/which", op="Const")
        which.attr["dtype"].type = tf.int32.as_datatype_enum
        which.attr["value"].tensor.CopyFrom(tf.make_tensor_proto([0], tf.int32))
        cast = placed.node.add(name=f"{node.name}/cast", op="Cast", input=[source])
        cast.attr["SrcT"].type = node.attr["T"].type
        cast.attr["DstT"].type = float32
        node.op = "CropAndResize"
        node.input[:] = [cast.name, box.name, which.name, size]
        node.attr.clear()
        node.attr["T"].type = float32
        node.attr["method"].s = b"bilinear"
    return placed

"""Scores of a data set while it is predicted image by image."""

from typing import Any, List, Optional, Sequence, Tuple

import numpy as np

from adl_tf.data.normalization import denormalize
from adl_tf.evaluation.extremes import Extremes
from adl_tf.evaluation.metrics import ConfusionMatrix, count_pixels, mean_iou
from adl_tf.visualization.evaluation_page import ScoredImage
from adl_tf.visualization.predictions import shrink_example

# (position, name, score) of an image.
ImageScore = Tuple[int, str, Optional[float]]


class Scoreboard:
    """Counts pixels on the device, and keeps the score of each image.

    Args:
      num_classes: number of classes.
      num_pictures: how many of the worst and of the best images are kept, downscaled.

    Attributes:
      matrix: the `ConfusionMatrix` of all images.
      pictures: `Extremes` of `ScoredImage`.
    """

    def __init__(self, num_classes: int, num_pictures: int):
        self.matrix = ConfusionMatrix(num_classes)
        self._image_scores: List[ImageScore] = []
        self.pictures = Extremes(num_pictures)

    @property
    def counts(self) -> np.ndarray:
        """int64 [classes, classes], pixels by (true, predicted)."""
        return self.matrix.counts.numpy()

    @property
    def image_scores(self) -> List[Tuple[str, Optional[float]]]:
        """(name, mean IoU over the classes true or predicted in it) of each image in order, None
        where nothing is labelled."""
        return [(name, score) for _, name, score in sorted(self._image_scores)]

    def content(self) -> Tuple[np.ndarray, List[ImageScore], Sequence[ScoredImage]]:
        """All that it holds, for `include`."""
        pictures = [*self.pictures.lowest, *self.pictures.highest]
        return self.counts, self._image_scores, pictures

    def include(self, counts: np.ndarray, scores: List[ImageScore], pictures) -> None:
        """Adds what another one holds of other images, see `content`."""
        self.matrix.counts.assign_add(counts)
        self._image_scores += scores
        for picture in pictures:
            self.pictures.add(picture.miou, lambda kept=picture: kept)

    def add(self, position: int, name: str, image: Any, label: Any, prediction: Any) -> None:
        """Scores one image.

        Args:
          position: position of the image in its split.
          name: name of the image.
          image: float32 [H, W, 3] in [-1, 1].
          label: integers [H, W].
          prediction: integers [H, W].
        """
        counts = count_pixels(label, prediction, self.matrix.num_classes)
        self.matrix.counts.assign_add(counts)
        counts = counts.numpy()
        score = mean_iou(counts) if counts.any() else None
        self._image_scores.append((position, name, score))

        def picture():
            pixels = denormalize(image).numpy()
            small = shrink_example(pixels, np.asarray(label), np.asarray(prediction))
            return ScoredImage(name, score, *small)

        if score is not None:
            self.pictures.add(score, picture)

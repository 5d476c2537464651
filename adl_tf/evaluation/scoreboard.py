"""Scores of a data set while it is predicted image by image."""

from typing import Any, List, Optional, Tuple

import numpy as np

from adl_tf.data.normalization import denormalize
from adl_tf.evaluation.extremes import Extremes
from adl_tf.evaluation.metrics import ConfusionMatrix, count_pixels, mean_iou
from adl_tf.visualization.evaluation_page import ScoredImage
from adl_tf.visualization.predictions import shrink_example


class Scoreboard:
    """Counts pixels on the device, and keeps the score of each image.

    Args:
      num_classes: number of classes.
      num_pictures: how many of the worst and of the best images are kept, downscaled.

    Attributes:
      matrix: the `ConfusionMatrix` of all images.
      image_scores: (name, mean IoU over the classes true or predicted in it) of each image,
        None where nothing is labelled.
      pictures: `Extremes` of `ScoredImage`.
    """

    def __init__(self, num_classes: int, num_pictures: int):
        self.matrix = ConfusionMatrix(num_classes)
        self.image_scores: List[Tuple[str, Optional[float]]] = []
        self.pictures = Extremes(num_pictures)

    @property
    def counts(self) -> np.ndarray:
        """int64 [classes, classes], pixels by (true, predicted)."""
        return self.matrix.counts.numpy()

    def add(self, name: str, image: Any, label: Any, prediction: Any) -> None:
        """Scores one image.

        Args:
          name: of the image.
          image: float32 [H, W, 3] in [-1, 1].
          label: integers [H, W].
          prediction: integers [H, W].
        """
        counts = count_pixels(label, prediction, self.matrix.num_classes)
        self.matrix.counts.assign_add(counts)
        counts = counts.numpy()
        score = mean_iou(counts) if counts.any() else None
        self.image_scores.append((name, score))

        def picture():
            pixels = denormalize(image).numpy()
            small = shrink_example(pixels, np.asarray(label), np.asarray(prediction))
            return ScoredImage(name, score, *small)

        if score is not None:
            self.pictures.add(score, picture)

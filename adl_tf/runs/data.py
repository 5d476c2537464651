"""The images of a run: data set, training streams and validation stream."""

import contextlib
import functools
import os
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Union

import gin
import numpy as np
import tensorflow as tf

from adl_tf.data.description import DESCRIPTION_FILE, IGNORE_LABEL
from adl_tf.data.failures import one_line_failures
from adl_tf.data.foreign_records import list_foreign_splits
from adl_tf.data.identity import identify
from adl_tf.data.reader import RecordReader
from adl_tf.data.shard import WHOLE, Shard
from adl_tf.data.streams import evaluation_stream, train_stream
from adl_tf.distribution.strategy import distribute, own_shard
from adl_tf.model_directory import DATA
from adl_tf.sizes import crop_sides
from adl_tf.system.settings import (
    Count,
    Name,
    Number,
    Share,
    Sides,
    configurable,
    external_configurable,
)
from adl_tf.training.losses import median_frequency_weights
from data_prep.dataset_dir import find_dataset

VAL = "val"
# Of an ignored image beside others of any size: large enough for every kernel.
_ANY_SIZE = (65, 65)
# The module of the streams does not depend on gin.
_configured_stream = external_configurable(train_stream)


class Validation(NamedTuple):
    """The images that are scored after each epoch.

    Attributes:
      data: what `fit` and `evaluate` take.
      steps: steps of one pass; None where the data end by themselves.
    """

    data: Any
    steps: Optional[int]


@configurable
class RunData:
    """The data set of a run, and how it is read.

    Nothing is read before `open`: TensorFlow has to be configured first.

    Args:
      dataset_dir: directory of TFRecords, or "synthetic".
      crop_size: side of the square crops, or (height, width), in pixels.
      batch_size: images per step, over all devices.
      seed: seed of the order, the augmentation and the halves of a search; a run also uses it for
        everything else that is random.
      train_split: split to train on.
      val_split: split to score.
      validation_images: how many of them to score; None for all.
      num_classes: for records without `dataset.json`.
      max_bad_records: bad records to skip before failing.
      cache_dir: where decoded examples are kept, see `RecordReader`.
      deterministic: the same run gives the same bits.
      class_weight_power: exponent of the weights of a class-balanced loss: 1 for median frequency /
        own, smaller for weights that are nearer to each other.
      shuffled_labels: train each image on the labels of another one of its batch, as a control:
        what a run still finds is not in the data.

    Attributes:
      crop_size: (height, width) in pixels.
      batch_size, seed, deterministic: as given.

    Raises:
      ValueError: an invalid number or crop size.
    """

    def __init__(
        self,
        dataset_dir: Name = gin.REQUIRED,
        crop_size: Union[Count, Sides] = gin.REQUIRED,
        batch_size: Count = gin.REQUIRED,
        seed: Number = 0,
        train_split: Name = "train",
        val_split: Name = VAL,
        validation_images: Optional[Count] = None,
        num_classes: Optional[Count] = None,
        max_bad_records: Number = 0,
        cache_dir: Optional[Name] = None,
        deterministic: bool = False,
        class_weight_power: Share = 1.0,
        shuffled_labels: bool = False,
    ):
        self.crop_size = crop_sides(crop_size)
        self.batch_size = batch_size
        self.seed = seed
        self.deterministic = deterministic
        self._dataset_dir = dataset_dir
        self._train_split = train_split
        self._val_split = val_split
        self._validation_images = validation_images
        self._class_weight_power = class_weight_power
        self._shuffled_labels = shuffled_labels
        if shuffled_labels and batch_size < 2:
            raise ValueError("RunData.shuffled_labels needs a batch_size of 2 or more.")
        self._reader_options = {
            "num_classes": num_classes,
            "max_bad_records": max_bad_records,
            "cache_dir": cache_dir and os.path.expanduser(cache_dir),
        }

    @functools.cached_property
    def directory(self) -> str:
        """The directory of the records."""
        return find_dataset(self._dataset_dir)

    @functools.cached_property
    def train_reader(self) -> RecordReader:
        """Reader of the split to train on."""
        return RecordReader(self.directory, self._train_split, **self._reader_options)

    @functools.cached_property
    def val_reader(self) -> RecordReader:
        """Reader of the split to score."""
        return RecordReader(self.directory, self._val_split, **self._reader_options)

    @property
    def num_classes(self) -> int:
        """Number of classes, without the ignore label."""
        return self.train_reader.num_classes

    @functools.cached_property
    def is_scored(self) -> bool:
        """Whether there are images to score: False for a data set without the split `val`."""
        if self._val_split != VAL:
            return True  # One that was asked for by name must be there.
        if os.path.exists(os.path.join(self.directory, DESCRIPTION_FILE)):
            return VAL in self.train_reader.description.splits
        return VAL in list_foreign_splits(self.directory)

    @property
    def num_validation_images(self) -> int:
        """Number of images that a validation scores."""
        return _validation_steps(self.val_reader, self._validation_images, WHOLE)

    @contextlib.contextmanager
    def open(self, must_score: bool = True) -> Iterator[None]:
        """Opens both splits; inside the block, a stream that fails raises a one-line error.

        Args:
          must_score: False where a data set may do without images to score, see `is_scored`.

        Raises:
          ValueError, FileNotFoundError: see `RecordReader`; too many bad records inside the block.
        """
        if must_score:
            self.val_reader  # noqa: B018  Says that there is none.
        with one_line_failures(*self._readers):
            yield

    @property
    def _readers(self) -> List[RecordReader]:
        """Of all splits that the run reads."""
        readers = [self.train_reader]
        if self.is_scored:
            readers.append(self.val_reader)
        return readers

    def steps_per_pass(self, subset: Optional[str] = None) -> int:
        """Number of full batches in the split to train on, or in one half of it.

        Raises:
          ValueError: its examples do not fill a batch.
        """
        steps = len(self.train_reader.subset(subset, self.seed)) // self.batch_size
        if not steps:
            count = self.train_reader.num_examples
            examples = f"{count} examples of {self._train_split!r}"
            if subset:
                examples = f"half of its {count} training examples"
            raise ValueError(
                f"{self.directory}: {examples} do not fill a batch of {self.batch_size}; lower "
                "BATCH_SIZE."
            )
        return steps

    def class_weights(self) -> np.ndarray:
        """Weights that make rare classes count more, see `median_frequency_weights`.

        Raises:
          ValueError: the data set does not say how frequent its classes are.
        """
        frequencies = self.train_reader.description.splits[self._train_split].class_frequencies
        if frequencies is None:
            raise ValueError(
                "class_balanced_loss needs the class frequencies of dataset.json; convert the "
                "data set with data_prep, or turn it off."
            )
        return median_frequency_weights(frequencies) ** self._class_weight_power

    def schedule(self, steps_per_epoch: int) -> Dict[str, Any]:
        """Settings that a resumed run must not change, for `schedule.json`.

        Otherwise its position in the data, the halves of a search and the best score so far would
        refer to other images.
        """
        return {
            DATA: identify(
                self._readers, self.num_validation_images if self.is_scored else None
            ).to_dict(),
            "seed": self.seed,
            "examples": self.train_reader.num_examples,
            "batch_size": self.batch_size,
            "steps_per_epoch": steps_per_epoch,
            # Left out where they are the default, as in the files of earlier versions.
            **({"shuffled_labels": True} if self._shuffled_labels else {}),
        }

    def training_stream(
        self, position: int, subset: Optional[str] = None, shard: Shard = WHOLE
    ) -> tf.data.Dataset:
        """Infinite stream of augmented batches from a position on, see `train_stream`.

        Args:
          position: where an earlier stream stopped; 0 for the start.
          subset: "A" or "B" for one half of the split; None for all of it.
          shard: the part to read; a batch is that of one replica.

        Raises:
          ValueError: shuffled labels of batches of one image.
        """
        batch_size = self.batch_size // shard.total
        if self._shuffled_labels and batch_size < 2:
            raise ValueError("RunData.shuffled_labels needs two images on each device, or more.")
        stream = _configured_stream(
            self.train_reader,
            batch_size=batch_size,
            crop_size=self.crop_size,
            seed=self.seed,
            subset=subset,
            start_position=position,
            deterministic=self.deterministic,
            shard=shard,
        )
        if self._shuffled_labels:
            stream = stream.map(
                lambda batch: {**batch, "label": tf.roll(batch["label"], 1, axis=0)}
            )
        return stream

    def validation_stream(self, shard: Shard = WHOLE, padded: bool = False) -> tf.data.Dataset:
        """One pass over the images to score, see the function `validation_stream`."""
        return validation_stream(self.val_reader, self._validation_images, shard, padded)

    def validation(self, strategy: tf.distribute.Strategy, padded: bool = False) -> Validation:
        """The images to score, shared out to the devices of a strategy."""
        data = distribute(strategy, lambda shard: self.validation_stream(shard, padded))
        if isinstance(data, tf.data.Dataset):
            return Validation(data, None)
        steps = _validation_steps(self.val_reader, self._validation_images, own_shard(strategy))
        return Validation(data, steps)


def validation_stream(
    reader: RecordReader,
    limit: Optional[int] = None,
    shard: Shard = WHOLE,
    padded: bool = False,
) -> tf.data.Dataset:
    """Whole images, one by one, each as an evaluation gives it to the network.

    Args:
      reader: the split.
      limit: number of images; None for all.
      shard: the part to read. Where there are several replicas, all shards have equally many
        elements: ignored images fill up what is missing, since kernels fail without any.
      padded: to the largest size of the split, for networks that need a static one. A network then
        scores differently where the images differ in size: what pools over an image, or crosses its
        border, sees the padding.

    Returns:
      data set of image float32 [1, H, W, 3] and label int32 [1, H, W], see `evaluation_stream`; H
      and W are static where all have one size.
    """
    size = reader.largest_size if padded else reader.common_size
    steps = _validation_steps(reader, limit, shard)
    stream = evaluation_stream(reader, size=size, limit=limit, shard=shard)
    # Without the file names: accelerators do not support strings.
    stream = stream.map(
        lambda batch: {
            key: tf.ensure_shape(batch[key], [1, *batch[key].shape[1:]])
            for key in ("image", "label")
        }
    )
    if shard.total > 1:
        shape = (1, *(size or _ANY_SIZE))
        blank = {
            "image": tf.zeros([*shape, 3]),
            "label": tf.fill(shape, tf.constant(IGNORE_LABEL, tf.int32)),
        }
        stream = stream.concatenate(tf.data.Dataset.from_tensors(blank).repeat())
        stream = stream.take(steps * shard.replicas)
    return stream


def _validation_steps(reader: RecordReader, limit: Optional[int], shard: Shard) -> int:
    """Steps of one pass, with an image for each replica."""
    return -(-min(limit or reader.num_examples, reader.num_examples) // shard.total)

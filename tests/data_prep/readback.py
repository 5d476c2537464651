"""Reads records back and runs converters as programs, for the tests of all of them."""

import io
import os
import pathlib
import sys

import numpy as np
import tensorflow as tf
from PIL import Image

import data_prep
from adl_tf.data.description import read_dataset_description

ROOT = pathlib.Path(data_prep.__file__).parents[1]


def read_records(directory, split):
    """One dict per record in order: name, image bytes, image [H, W, 3], label [H, W] or None."""
    records = []
    for shard in read_dataset_description(directory).splits[split].shards:
        for serialized in tf.data.TFRecordDataset(str(pathlib.Path(directory) / shard.file)):
            example = tf.train.Example.FromString(serialized.numpy())
            feature = {key: value for key, value in example.features.feature.items()}

            def content(key, feature=feature):
                return feature[key].bytes_list.value[0]

            label = content("image/segmentation/class/encoded")
            size = [feature[f"image/{side}"].int64_list.value[0] for side in ("height", "width")]
            image = np.array(Image.open(io.BytesIO(content("image/encoded"))).convert("RGB"))
            assert image.shape == (*size, 3)
            records.append(
                {
                    "name": content("image/filename").decode(),
                    "format": content("image/format").decode(),
                    "bytes": content("image/encoded"),
                    "image": image,
                    "label": np.array(Image.open(io.BytesIO(label))) if label else None,
                }
            )
    return records


def hidden(directory):
    """Names of the hidden files; a conversion leaves its own folder and no half-written files."""
    return {path.name for path in pathlib.Path(directory).glob(".*")}


def labels_by_name(directory, split):
    return {record["name"]: record["label"] for record in read_records(directory, split)}


def command(module, *arguments):
    return [sys.executable, "-m", f"data_prep.{module}", *map(str, arguments)]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}

"""Small data sets written for the tests, with the package's own record encoder."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from adl_tf.data import schema
from adl_tf.data.description import DatasetDescription, Shard, Split, write_dataset_description

NUM_CLASSES = 5


def png(pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def make_pair(index, height=24, width=40):
    """An image whose red channel is its label, so that the two can be compared."""
    rng = np.random.RandomState(index)
    label = np.kron(rng.randint(0, NUM_CLASSES, (height // 4, width // 4)), np.ones((4, 4)))
    label = label.astype(np.uint8)
    label[0, :5] = 255
    image = np.stack([label * 20, np.full_like(label, index), np.full_like(label, 200)], -1)
    return image, label


def encode(index, **changes):
    """One serialized record; changes replace arguments of the encoder."""
    image, label = make_pair(index)
    fields = dict(
        filename=f"example_{index}",
        image=png(image),
        image_format="png",
        height=label.shape[0],
        width=label.shape[1],
        label=png(label),
    )
    return schema.encode_example(**{**fields, **changes})


def write_shards(directory, split, records, num_shards=3):
    shards = []
    for shard in range(num_shards):
        file = f"{split}-{shard:05d}-of-{num_shards:05d}.tfrecord"
        part = records[
            len(records) * shard // num_shards : len(records) * (shard + 1) // num_shards
        ]
        with tf.io.TFRecordWriter(str(directory / file)) as writer:
            for record in part:
                writer.write(record)
        shards.append(Shard(file, len(part)))
    return Split(tuple(shards))


def write_dataset(directory, **splits):
    """Writes shards and description; splits maps a name to its records."""
    description = DatasetDescription(
        name="tiny",
        class_names=tuple("abcde"),
        colors=tuple((i, i, i) for i in range(NUM_CLASSES)),
        splits={name: write_shards(directory, name, records) for name, records in splits.items()},
    )
    write_dataset_description(description, directory)
    return directory


def flip_byte(path, place):
    """Damages a file at one place."""
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)


BAD_RECORDS = {
    "nonsense": b"not a record",
    "no image": encode(1, image=b""),
    "image not an image": encode(1, image=b"nonsense"),
    "truncated image": encode(1, image=png(make_pair(1)[0])[:-60]),
    "no label": encode(1, label=b""),
    "label of other size": encode(1, label=png(make_pair(1, height=28)[1])),
    "unknown label id": encode(1, label=png(np.full((24, 40), NUM_CLASSES, np.uint8))),
}

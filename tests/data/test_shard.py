"""Shards: together they are the whole stream, and each reads its own part only."""

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.data.reader import RecordReader
from adl_tf.data.shard import Shard
from adl_tf.data.streams import evaluation_stream, train_stream


@pytest.mark.parametrize(("count", "replicas"), [(1, 2), (2, 1), (2, 2), (3, 1)])
def test_batches_of_all_replicas_are_those_of_the_whole_stream(count, replicas):
    numbers = tf.data.Dataset.range(48)
    whole = [batch.numpy() for batch in numbers.batch(4 * count * replicas)]
    shards = [
        list(Shard(index, count, replicas).select(numbers, 4).batch(4)) for index in range(count)
    ]
    for step, expected in enumerate(whole[: 48 // (4 * count * replicas)]):
        places = slice(step * replicas, (step + 1) * replicas)
        parts = [batch.numpy() for shard in shards for batch in shard[places]]
        np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_two_trainers_read_the_halves_of_each_batch(dataset_dir):
    reader = RecordReader(dataset_dir, "train")
    options = {"crop_size": (17, 33), "seed": 7, "deterministic": True, "start_position": 3}
    whole = train_stream(reader, batch_size=4, **options)
    halves = [train_stream(reader, batch_size=2, shard=Shard(i, 2), **options) for i in range(2)]
    for batch, *parts in zip(whole.take(4), *halves):
        for key, values in batch.items():
            found = np.concatenate([part[key] for part in parts])
            np.testing.assert_array_equal(found, values, err_msg=key)
    with pytest.raises(ValueError, match="service is not supported with several machines"):
        train_stream(
            reader, batch_size=2, shard=Shard(0, 2), crop_size=(9, 9), seed=0, service="grpc://a:1"
        )


def test_every_image_is_scored_by_one_of_the_shards(dataset_dir):
    reader = RecordReader(dataset_dir, "train")
    for limit in (None, 3):
        streams = [evaluation_stream(reader, limit=limit, shard=Shard(i, 3)) for i in range(3)]
        found = [int(batch["position"][0]) for stream in streams for batch in stream]
        assert sorted(found) == list(range(limit or reader.num_examples))

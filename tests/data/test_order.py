"""The order of a training stream, seen in the records that it takes."""

import numpy as np
import pytest
from batches import OPTIONS, assert_equal, take
from tiny_dataset import encode, write_dataset

from adl_tf.data.description import Shard, read_dataset_description, write_dataset_description
from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import train_stream


def which(batches):
    """Which example each element is, by its green channel; for crops inside the image."""
    values = np.concatenate([b["image"][:, b["image"].shape[1] // 2, 5, 1] for b in batches])
    return np.round((values + 1) * 127.5).astype(int).tolist()


def inside(reader, **options):
    """A stream whose crops never leave the image."""
    return train_stream(
        reader, **{**OPTIONS, "min_scale": 1.0, "max_scale": 1.0, "scale_step": 0, **options}
    )


def test_each_epoch_is_another_permutation(dataset_dir):
    reader = RecordReader(dataset_dir, "train")
    order = which(take(inside(reader), 15))
    epochs = [order[:10], order[10:20], order[20:]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert which(take(inside(reader, seed=8), 5)) != epochs[0]


def test_halves_are_disjoint_and_depend_on_the_seed_alone(dataset_dir):
    reader = RecordReader(dataset_dir, "train")
    seen = {
        (name, seed): set(which(take(inside(reader, subset=name, seed=seed, batch_size=5), 3)))
        for name in "AB"
        for seed in (7, 8)
    }
    for seed in (7, 8):
        assert len(seen["A", seed]) == len(seen["B", seed]) == 5
        assert seen["A", seed] | seen["B", seed] == set(range(10))
        assert seen["A", seed] == set(reader.subset("A", seed).tolist())
    assert seen["A", 7] != seen["A", 8]


def write_unbalanced(directory, examples=40):
    """Class 4 is in example 0 only, every other class in all."""
    write_dataset(directory, train=[encode(i) for i in range(examples)])
    description = read_dataset_description(directory)
    split = description.splits["train"]
    shards, index = [], 0
    for shard in split.shards:
        rows = tuple("0 1 2 3 4" if index + i == 0 else "0 1 2 3" for i in range(shard.examples))
        shards.append(Shard(shard.file, shard.examples, classes=rows))
        index += shard.examples
    description.splits["train"] = type(split)(tuple(shards))
    write_dataset_description(description, directory)


def count_first(reader, epochs=10, **options):
    """How often example 0 is drawn, by its green channel."""
    scale = dict(min_scale=1.0, max_scale=1.0, scale_step=0)
    stream = train_stream(reader, **{**OPTIONS, **scale, **options})
    batches = take(stream, epochs * reader.num_examples // 2)
    return sum((batch["image"][:, 8, 9, 1] == -1).sum() for batch in batches)


def test_class_balance_draws_rare_classes_more_often(tmp_path):
    write_unbalanced(tmp_path)
    reader = RecordReader(tmp_path, "train")
    assert count_first(reader) == 10
    # 400 draws, half for a class, a fifth of those for class 4.
    assert 25 < count_first(reader, class_balance=0.5) < 65


def test_balanced_stream_resumes_bit_for_bit(tmp_path):
    write_unbalanced(tmp_path, examples=6)
    reader = RecordReader(tmp_path, "train")
    whole = take(train_stream(reader, class_balance=0.7, **OPTIONS), 9)
    rest = train_stream(reader, class_balance=0.7, start_position=10, **OPTIONS)
    assert_equal(take(rest, 4), whole[5:])


def test_balance_needs_to_know_the_classes_of_the_records(dataset_dir):
    with pytest.raises(ValueError, match="does not say which record shows which class"):
        train_stream(RecordReader(dataset_dir, "train"), class_balance=0.5, **OPTIONS)

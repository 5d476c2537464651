"""The identity of data: what changes it, and what does not."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_dataset import encode, make_pair, png, write_dataset, write_shards

from adl_tf.data.description import (
    DESCRIPTION_FILE,
    read_dataset_description,
    write_dataset_description,
)
from adl_tf.data.identity import describe_changes, identify, identify_again, parse_identity
from adl_tf.data.reader import RecordReader
from adl_tf.data.records import Records

records = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6)


def checksum(directory, content, num_shards):
    split = write_shards(directory, "any", content, num_shards)
    files = [str(directory / shard.file) for shard in split.shards]
    return Records(files, [shard.examples for shard in split.shards]).checksum


@settings(max_examples=30, deadline=None)
@given(records, records, st.integers(1, 4), st.integers(1, 4))
def test_checksum_is_of_the_records_in_their_order(tmp_path_factory, one, other, shards, others):
    directory = tmp_path_factory.mktemp("records")
    same = checksum(directory, one, shards) == checksum(directory, other, others)
    assert same == (one == other)
    assert checksum(directory, one, shards) == checksum(directory, one, others)
    turned = one[1:] + one[:1]
    assert (checksum(directory, turned, shards) == checksum(directory, one, shards)) == (
        turned == one
    )


def identity(directory, *splits):
    return identify([RecordReader(directory, split) for split in splits])


def test_every_change_is_said(tmp_path):
    data = {"train": [encode(i) for i in range(4)], "val": [encode(9), encode(10)]}
    kept = identity(write_dataset(tmp_path, **data), "train", "val")
    assert describe_changes(kept, identity(tmp_path, "train", "val")) == ""
    assert parse_identity(json.loads(json.dumps(kept.to_dict()))) == kept

    mask = make_pair(9)[1]
    mask[mask == 1] = 2
    one_mask = [encode(9, label=png(mask)), data["val"][1]]
    for changed, words in (
        ({"val": one_mask}, "other images or masks in val"),
        ({"val": data["val"][::-1]}, "other images or masks in val"),
        ({"train": data["train"][1:]}, "train 4 -> 3 examples"),
        ({"train": [*data["train"][1:], encode(5)]}, "other images or masks in train"),
    ):
        write_dataset(tmp_path, **{**data, **changed})
        assert describe_changes(kept, identify_again(tmp_path, kept)) == words
    assert "splits train, val -> train" in describe_changes(kept, identity(tmp_path, "train"))
    fewer = dataclasses.replace(kept, validation_images=1)
    assert describe_changes(fewer, kept) == "1 -> None images to score"

    description = read_dataset_description(write_dataset(tmp_path, **data))
    names = tuple("edcba")
    write_dataset_description(dataclasses.replace(description, class_names=names), tmp_path)
    assert describe_changes(kept, identity(tmp_path, "train", "val")) == (
        "class 0 'a' -> 'e'; class 1 'b' -> 'd'; class 3 'd' -> 'b'; 1 more"
    )


def test_records_of_others_have_an_identity_too(tmp_path):
    content = [encode(i) for i in range(3)]
    write_dataset(tmp_path, val=content)
    described = identity(tmp_path, "val")
    (tmp_path / DESCRIPTION_FILE).unlink()
    kept = identify([RecordReader(tmp_path, "val", num_classes=5)])
    assert kept.splits == described.splits
    assert identify_again(tmp_path, kept) == kept
    write_shards(tmp_path, "val", content[::-1])
    assert describe_changes(kept, identify_again(tmp_path, kept))


@pytest.mark.parametrize("content", [5, [], {}, {"class_names": 1, "splits": {}}, {"splits": 3}])
def test_what_is_no_identity(content):
    with pytest.raises(ValueError, match="^no identity of data"):
        parse_identity(content)

"""Label maps in PNGs of every kind: the numbers in the file, or an error."""

import io

import numpy as np
import pytest
import raw_png
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_dataset import encode, write_shards

from adl_tf.data.label_png import decode_label_png
from adl_tf.data.reader import RecordReader
from data_prep.verify import verify

repeatable = settings(derandomize=True, deadline=None, database=None, max_examples=60)
decode = tf.function(decode_label_png, input_signature=[tf.TensorSpec([], tf.string)])

# Depth and color type of all PNGs, as their standard lists them.
KINDS = [
    *((depth, raw_png.GRAY) for depth in (1, 2, 4, 8, 16)),
    *((depth, raw_png.PALETTE) for depth in (1, 2, 4, 8)),
    *(
        (depth, kind)
        for depth in (8, 16)
        for kind in (raw_png.RGB, raw_png.GRAY_ALPHA, raw_png.RGBA)
    ),
]


def draw_png(kind, height, width, seed):
    """(ids, file) of random pixels; palette, alpha and transparency are random as well."""
    depth, color_type = kind
    random = np.random.default_rng(seed)
    highest = min(2**depth, 256)
    ids = random.integers(0, highest, (height, width))
    options = {}
    if color_type == raw_png.PALETTE:
        options["palette"] = random.integers(0, 256, (highest, 3))
        options["transparency"] = random.bytes(random.integers(0, highest + 1))
    samples = ids
    if color_type in (raw_png.RGB, raw_png.RGBA):
        samples = np.stack([ids] * 3, -1)
    if color_type in (raw_png.GRAY_ALPHA, raw_png.RGBA):
        alpha = random.integers(0, 2**depth, (height, width, 1))
        samples = np.concatenate([samples.reshape(height, width, -1), alpha], -1)
    return ids, raw_png.encode(samples, depth, color_type, **options)


@repeatable
@given(st.sampled_from(KINDS), st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**16))
def test_numbers_of_every_depth_and_kind(kind, height, width, seed):
    ids, content = draw_png(kind, height, width, seed)
    label = decode(content).numpy()
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, ids)


def picture(pixels, form="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **options)
    return buffer.getvalue()


IDS = np.array([[0, 1], [2, 4]] * 12, np.uint8).repeat(20, axis=1)
REFUSED = {
    "jpeg": (picture(IDS, "JPEG"), "not a PNG"),
    "gif": (picture(IDS, "GIF"), "not a PNG"),
    "bmp": (picture(IDS, "BMP"), "not a PNG"),
    "cut": (picture(IDS)[:20], "not a PNG"),
    "colors": (picture(np.stack([IDS, IDS * 0, IDS], -1)), "its pixels are colors"),
    "large": (raw_png.encode(IDS.astype(int) * 300, 16), "label id 1200 does not fit 8 bits"),
    "unknown": (raw_png.encode(IDS.astype(int) + 5, 16), "label id 9 is neither in 0..4"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_label_map_is_named_by_reader_and_verify(tmp_path, capsys, name):
    label, message = REFUSED[name]
    write_shards(tmp_path, "train", [encode(0), encode(1, label=label)], num_shards=1)
    assert verify(str(tmp_path), 5) == {"examples": 2, "bad": 1}
    assert f"record 1: label: {message}" in capsys.readouterr().err
    *_, valid = RecordReader(tmp_path, "train", 5).load(tf.constant(1, tf.int64))
    assert not valid


def test_a_palette_in_a_record_is_read_by_its_indices(tmp_path):
    """PASCAL VOC's masks as they come, by all that reads records."""
    image = Image.fromarray(IDS)
    image.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0, 0, 0, 128])
    assert image.mode == "P"
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    write_shards(tmp_path, "train", [encode(0, label=buffer.getvalue())], num_shards=1)
    assert verify(str(tmp_path), 5) == {"examples": 1, "bad": 0}
    for cache in (None, str(tmp_path / "cache")):
        reader = RecordReader(tmp_path, "train", 5, cache_dir=cache)
        _, label, _, valid = reader.load(tf.constant(0, tf.int64))
        assert valid
        np.testing.assert_array_equal(label, IDS)
    whole = tf.constant([0, 0, *IDS.shape])
    _, label, valid = RecordReader(tmp_path, "train", 5).load_crop(
        tf.constant(0, tf.int64),
        lambda read, label: (tf.cast(read(whole), tf.float32), tf.cast(label, tf.int32)),
    )
    assert valid
    np.testing.assert_array_equal(label, IDS)

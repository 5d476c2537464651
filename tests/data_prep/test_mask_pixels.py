"""Masks of every depth and kind, alone and as a folder: the labels that are meant, or an error."""

import io

import numpy as np
import pytest
import raw_png
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from adl_tf.data.description import default_colors
from data_prep.errors import BadExample, ConversionError
from data_prep.mask_pixels import read_label
from data_prep.mask_reading import choose_reading, read_mask

repeatable = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SEEDS = st.integers(0, 2**16)
COLORS = {0: (0, 0, 0), 1: (128, 64, 128), 2: (0, 0, 142)}
IDS = np.array([[0, 1, 1], [2, 2, 2]], np.uint8).repeat(5, axis=0).repeat(4, axis=1)


def palette_of(colors):
    """256 entries; {index: color}."""
    table = np.zeros((256, 3), np.uint8)
    for index, color in colors.items():
        table[index] = color
    return table


def paletted(indices, colors, form="PNG"):
    image = Image.fromarray(np.asarray(indices, np.uint8))
    image.putpalette(palette_of(colors).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


def encoded(pixels, form="PNG", **options):
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, form, **options)
    return buffer.getvalue()


def read_folder(tmp_path, contents, num_classes, colors=None, mask_values=()):
    """The label maps of a folder of these files, and what is said about them."""
    paths = []
    for number, content in enumerate(contents):
        paths.append(str(tmp_path / f"{number}.mask"))
        (tmp_path / f"{number}.mask").write_bytes(content)
    reading, notes = choose_reading(paths, num_classes, colors or {}, mask_values)
    return [read_mask(path, reading) for path in paths], notes


# How class ids below 2^bits are stored as plain numbers.
AS_NUMBERS = {
    "gray 1": (1, lambda ids: raw_png.encode(ids, 1)),
    "gray 2": (2, lambda ids: raw_png.encode(ids, 2)),
    "gray 4": (4, lambda ids: raw_png.encode(ids, 4)),
    "gray 8": (8, lambda ids: raw_png.encode(ids, 8)),
    "gray 16": (8, lambda ids: raw_png.encode(ids, 16)),
    "gray and alpha": (
        8,
        lambda ids: raw_png.encode(np.stack([ids, 255 - ids], -1), 8, raw_png.GRAY_ALPHA),
    ),
    "rgb": (8, lambda ids: encoded(np.stack([ids.astype(np.uint8)] * 3, -1))),
    "rgba": (
        8,
        lambda ids: raw_png.encode(np.stack([ids, ids, ids, 255 - ids], -1), 8, raw_png.RGBA),
    ),
    "bit": (1, lambda ids: encoded(ids.astype(bool))),
    "bit tiff": (1, lambda ids: encoded(ids.astype(bool), "TIFF")),
    "bit bmp": (1, lambda ids: encoded(ids.astype(bool), "BMP")),
    "tiff 8": (8, lambda ids: encoded(ids.astype(np.uint8), "TIFF")),
    "tiff 16": (8, lambda ids: encoded(ids.astype(np.uint16), "TIFF")),
    "tiff int32": (8, lambda ids: encoded(ids.astype(np.int32), "TIFF")),
    "tiff float": (8, lambda ids: encoded(ids.astype(np.float32), "TIFF")),
    "bmp": (8, lambda ids: encoded(ids.astype(np.uint8), "BMP")),
    "gif": (8, lambda ids: encoded(ids.astype(np.uint8), "GIF")),
    "webp": (
        8,
        lambda ids: encoded(np.stack([ids.astype(np.uint8)] * 3, -1), "WEBP", lossless=True),
    ),
    **{
        f"palette {depth}": (
            depth,
            lambda ids, depth=depth: raw_png.encode(
                ids, depth, raw_png.PALETTE, np.array(default_colors(256))[: 2**depth]
            ),
        )
        for depth in (1, 2, 4, 8)
    },
}


@repeatable
@given(st.sampled_from(sorted(AS_NUMBERS)), st.integers(1, 12), st.integers(1, 12), SEEDS)
def test_numbers_in_every_depth_and_kind_are_class_ids(tmp_path, kind, height, width, seed):
    bits, save = AS_NUMBERS[kind]
    random = np.random.default_rng(seed)
    num_classes = int(random.integers(2, min(2**bits, 255) + 1))
    ids = [random.integers(0, num_classes, (height, width)) for _ in range(3)]
    if bits == 8:
        ids[0][0, 0] = 255
        ids[1][0, 0] = num_classes - 1
    if kind == "gif":  # Where nothing but black and white is used they could be 0 and 1.
        assume(set(np.unique(ids)) - {0, 255})
    labels, notes = read_folder(tmp_path, map(save, ids), num_classes)
    np.testing.assert_array_equal(labels, ids)


@repeatable
@given(st.sampled_from(sorted(set(AS_NUMBERS) - {"rgb", "rgba", "gif", "webp"})), SEEDS)
def test_numbers_of_official_data_sets(tmp_path, kind, seed):
    """Without a folder to compare with: gray values and indices are ids."""
    bits, save = AS_NUMBERS[kind]
    ids = np.random.default_rng(seed).integers(0, 2**bits, (7, 9))
    (tmp_path / "mask").write_bytes(save(ids))
    np.testing.assert_array_equal(read_label(str(tmp_path / "mask")), ids)


@repeatable
@given(st.sampled_from(["PNG", "GIF", "BMP", "TIFF"]), st.integers(2, 6), SEEDS)
def test_the_colors_of_palettes_count_where_classes_have_colors(tmp_path, form, count, seed):
    """Each mask has its own order of colors, and entries that no pixel has."""
    random = np.random.default_rng(seed)
    colors = {label: tuple(map(int, random.integers(0, 256, 3))) for label in range(count)}
    assume(len(set(colors.values())) == count)
    contents, expected = [], []
    for _ in range(3):
        order = random.permutation(256)
        used = {int(order[label]): color for label, color in colors.items()}
        rest = {int(i): tuple(random.integers(0, 256, 3)) for i in order[count:]}
        ids = random.integers(0, count, (6, 8))
        contents.append(paletted(order[ids], {**rest, **used}, form))
        expected.append(ids)
    labels, notes = read_folder(tmp_path, contents, count, colors)
    np.testing.assert_array_equal(labels, expected)
    assert len(notes) <= 1


# How 0 and 255 are stored.
AS_BINARY = {
    "gray": lambda white: encoded(white.astype(np.uint8) * 255),
    "rgb": lambda white: encoded(np.stack([white.astype(np.uint8) * 255] * 3, -1)),
    "bit": lambda white: encoded(white),
    "gray 2": lambda white: raw_png.encode(white * 3, 2),
    "gray 4": lambda white: raw_png.encode(white * 15, 4),
    "gray 16": lambda white: raw_png.encode(white * 255, 16),
    "gray 16 bright": lambda white: raw_png.encode(white * 65535, 16),
    "black first": lambda white: paletted(white, {0: (0, 0, 0), 1: (255, 255, 255)}),
    "white first": lambda white: paletted(~white, {0: (255, 255, 255), 1: (0, 0, 0)}),
    "white first gif": lambda white: paletted(~white, {0: (255,) * 3, 1: (0, 0, 0)}, "GIF"),
    "white first of 0 and 255": lambda white: paletted(
        np.where(white, 0, 255), {0: (255, 255, 255), 255: (0, 0, 0)}
    ),
    "tiff": lambda white: encoded(white, "TIFF"),
    "bmp": lambda white: encoded(white, "BMP"),
    "gif": lambda white: encoded(white.astype(np.uint8) * 255, "GIF"),
}


@repeatable
@given(st.sampled_from(sorted(AS_BINARY)), st.sampled_from([(0, 255), (255, 0)]), SEEDS)
def test_black_and_white_of_every_kind_with_mask_values(tmp_path, kind, values, seed):
    white = np.random.default_rng(seed).random((3, 9, 7)) < 0.3
    labels, _ = read_folder(tmp_path, map(AS_BINARY[kind], white), 2, mask_values=values)
    np.testing.assert_array_equal(labels, white == (values[1] == 255))


@repeatable
@given(st.sampled_from(sorted(set(AS_BINARY) - {"gray 16"})), st.booleans(), SEEDS)
def test_black_and_white_as_colors_of_classes(tmp_path, kind, white_is_first, seed):
    white = np.random.default_rng(seed).random((3, 9, 7)) < 0.3
    colors = {int(white_is_first): (0, 0, 0), 1 - int(white_is_first): (255, 255, 255)}
    labels, _ = read_folder(tmp_path, map(AS_BINARY[kind], white), 2, colors)
    np.testing.assert_array_equal(labels, white != white_is_first)


@pytest.mark.parametrize("kind", sorted(AS_BINARY))
def test_black_and_white_without_a_word_is_never_reversed(tmp_path, kind):
    """White is class 1, or ignored, of which the conversion warns."""
    white = np.array([[True, False, False]] * 4)
    (label,), _ = read_folder(tmp_path, [AS_BINARY[kind](white)], 2)
    assert (label[~white] == 0).all() and set(label[white]) <= {1, 255}


def test_palettes_by_color_or_index_are_said(tmp_path):
    """As quantize() leaves them, and as PASCAL VOC has them."""
    colored = Image.fromarray(np.array([*COLORS.values()], np.uint8)[IDS])
    quantized = encoded(colored.quantize(3))
    (label,), notes = read_folder(tmp_path, [quantized], 3, COLORS)
    np.testing.assert_array_equal(label, IDS)
    assert len(notes) == 1 and "colors count, not indices" in notes[0]
    voc = paletted(IDS, dict(enumerate(default_colors(3))))
    (label,), notes = read_folder(tmp_path, [voc], 3)
    np.testing.assert_array_equal(label, IDS)
    assert not notes
    with pytest.raises(BadExample, match="colors that are no class, such as 128 0 0; .*indices"):
        read_folder(tmp_path, [voc], 3, COLORS)


def test_several_palettes_without_colors_of_classes(tmp_path):
    other = paletted(2 - IDS, {0: COLORS[2], 1: COLORS[1], 2: COLORS[0]})
    with pytest.raises(ConversionError, match="1.mask: its palette has 0 0 142 at index 0.*0 0 0"):
        read_folder(tmp_path, [paletted(IDS, COLORS), other], 3)
    voc = dict(enumerate(default_colors(3)))
    turned = paletted(2 - IDS, {2 - index: color for index, color in voc.items()})
    labels, notes = read_folder(tmp_path, [paletted(IDS, voc), turned], 3)
    np.testing.assert_array_equal(labels, [IDS, IDS])
    assert len(notes) == 1
    labels, _ = read_folder(tmp_path, [paletted(IDS, COLORS), other], 3, mask_values=(0, 1, 2))
    np.testing.assert_array_equal(labels, [IDS, 2 - IDS])


def test_a_palette_unlike_those_that_were_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.mask_reading._SAMPLE", 1)
    other = paletted(IDS, {0: COLORS[2], 1: COLORS[1], 2: COLORS[0]})
    with pytest.raises(BadExample, match="1.mask: its palette has 0 0 142 at index 0, others"):
        read_folder(tmp_path, [paletted(IDS, COLORS), other], 3)


def test_two_classes_of_one_color(tmp_path):
    same = {**COLORS, 2: COLORS[1]}
    drawn = encoded(np.array([*same.values()], np.uint8)[IDS])
    with pytest.raises(ConversionError, match="classes 1 and 2 both have the color 128 64 128"):
        read_folder(tmp_path, [drawn], 3, same)
    (label,), _ = read_folder(tmp_path, [encoded(IDS)], 3, same)  # Whose numbers are ids.
    np.testing.assert_array_equal(label, IDS)


def jpeg(pixels):
    return encoded(pixels, "JPEG", quality=75)


def test_jpegs_of_two_classes_are_read_by_the_nearer_value(tmp_path):
    white = np.zeros((64, 80), bool)
    white[13:40, 21:60] = True
    for values in ((0, 255), (255, 0)):
        for pixels in (white * np.uint8(255), np.stack([white * np.uint8(255)] * 3, -1)):
            (label,), notes = read_folder(tmp_path, [jpeg(pixels)], 2, mask_values=values)
            np.testing.assert_array_equal(label, white == (values[1] == 255))
            assert "the nearer of" in notes[0]


@pytest.mark.parametrize(
    "pixels, values, message",
    [
        (IDS * np.uint8(120), (), "its format changes pixels: .* values, most often"),
        (IDS * np.uint8(120), (0, 240), "are neither 0 nor 240"),
        (IDS * np.uint8(120), (0, 120, 240), "its format changes pixels"),
        (np.array([*COLORS.values()], np.uint8)[IDS], (), "colors in a format that changes pixels"),
    ],
)
def test_other_jpegs_are_refused(tmp_path, pixels, values, message):
    pixels = np.repeat(np.repeat(pixels, 8, axis=0), 8, axis=1)
    with pytest.raises(BadExample, match=message):
        read_folder(tmp_path, [jpeg(pixels)], len(values) or 3, mask_values=values)


TWO_FRAMES = {"save_all": True, "append_images": [Image.new("L", IDS.shape[::-1], 9)]}


@pytest.mark.parametrize(
    "content, message",
    [
        (raw_png.encode(np.full((2, 2), 300), 16), "unknown label id 300 in 4 pixels"),
        (encoded(np.full((2, 2), -1, np.int32), "TIFF"), "unknown label id -1 in 4 pixels"),
        (encoded(np.full((2, 2), 0.5, np.float32), "TIFF"), "numbers with fractions"),
        (raw_png.encode(np.ones((2, 2, 3)), 16, raw_png.RGB), "several channels of 16 bits"),
        (encoded(Image.fromarray(IDS), "GIF", **TWO_FRAMES), "several frames"),
        (encoded(np.full((2, 2), 7, np.uint8)), "unknown label id 7 in 4 pixels; use ids 0..2"),
    ],
)  # fmt: skip
def test_what_is_no_mask_is_named(tmp_path, content, message):
    with pytest.raises(BadExample, match=message):
        read_folder(tmp_path, [content], 3)

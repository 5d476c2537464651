"""Properties of whatever is read: photos of any kind, records of any size, any genotype file."""

import io
import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from adl_tf.data import schema
from adl_tf.data.augmentation import augment
from adl_tf.serving import rest_client
from adl_tf.space.genotype import Genotype, load_genotype, save_genotype
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace
from data_prep.errors import BadExample
from data_prep.images import decodable, read_image, read_pixels
from data_prep.mask_pixels import read_label

# The same examples each time: a test that fails now and then is no test.
settings.register_profile(
    "repeatable",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("repeatable")

SIDES = st.integers(1, 24)
SEEDS = st.integers(0, 2**16)
ORIENTATIONS = st.integers(0, 9)  # 0 and 9 mean nothing.
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "BMP": ("1", "L", "P", "RGB"),
    "TIFF": ("1", "L", "P", "RGB", "RGBA", "I;16", "CMYK"),
    "PPM": ("1", "L", "RGB", "I"),
    "WEBP": ("L", "RGB", "RGBA"),
}
KINDS = st.sampled_from([(form, mode) for form, modes in MODES.items() for mode in modes])
CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}


def draw_image(mode, height, width, seed):
    """An image of random pixels."""
    random = np.random.default_rng(seed)
    if mode == "1":
        return Image.fromarray(random.random((height, width)) < 0.5)
    if mode in ("I;16", "I"):
        values = random.integers(0, 2**16, (height, width))
        return Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.int32))
    shape = (height, width, CHANNELS[mode]) if mode in CHANNELS else (height, width)
    image = Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8), mode)
    if mode == "P":
        image.putpalette(random.integers(0, 256, 768, dtype=np.uint8).tobytes())
    return image


def encode(image, form, orientation):
    """The content of a file, whose Exif data say how it is turned where the format has them."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    options = {"exif": exif} if form in ("PNG", "JPEG", "WEBP", "TIFF") and orientation else {}
    image.save(buffer, form, **options)
    return buffer.getvalue()


def shown(content):
    """What a viewer shows, of 16 bits the upper eight: uint8 [H, W, 3]."""
    with Image.open(io.BytesIO(content)) as image:
        turned = ImageOps.exif_transpose(image)
        if turned.mode.startswith("I"):
            values = np.asarray(turned).astype(np.int64) // 256
            return np.stack([values.astype(np.uint8)] * 3, axis=-1)
        return np.array(turned.convert("RGB"))


def decode(content):
    return tf.io.decode_image(content, channels=3, expand_animations=False).numpy()


@given(KINDS, SIDES, SIDES, SEEDS, ORIENTATIONS)
def test_photos_are_trained_on_and_predicted_as_they_are_shown(
    tmp_path, kind, height, width, seed, orientation
):
    form, mode = kind
    content = encode(draw_image(mode, height, width, seed), form, orientation)
    path = tmp_path / "photo"
    path.write_bytes(content)
    expected = shown(content)
    stored, image_format, size = read_image(str(path))
    assert size == expected.shape[:2] and image_format in ("jpeg", "png")
    np.testing.assert_array_equal(read_pixels(str(path)), expected)
    # Two decoders of JPEG round differently; of the same file there are no others.
    most = 4 if image_format == "jpeg" else 0
    for file in (stored, decodable(content), rest_client.decodable(content)):
        difference = np.abs(decode(file).astype(int) - expected)
        assert difference.max() <= most, (form, mode, orientation)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_that_have_no_eight_bits_are_refused(tmp_path, mode):
    """They would all be black or white."""
    values = np.array([[0.1, 0.7]], np.float32) if mode == "F" else np.array([[5, 70000]], np.int32)
    Image.fromarray(values).save(tmp_path / "photo.tif")
    with pytest.raises(BadExample, match="photo.tif: pixels of more than 16 bits.*store 8 or 16"):
        read_image(str(tmp_path / "photo.tif"))
    content = (tmp_path / "photo.tif").read_bytes()
    assert decodable(content) == content  # TensorFlow names what it cannot decode.


@given(st.sampled_from(["L", "P"]), SIDES, SIDES, SEEDS, ORIENTATIONS)
def test_masks_keep_their_ids(tmp_path, mode, height, width, seed, orientation):
    image = draw_image(mode, height, width, seed)
    path = tmp_path / "mask.png"
    path.write_bytes(encode(image, "PNG", orientation))
    label = read_label(str(path))
    assert label.dtype == np.uint8
    # The same pixels in another order.
    np.testing.assert_array_equal(np.sort(label, axis=None), np.sort(np.array(image), axis=None))
    assert sorted(label.shape) == sorted((height, width))


@given(KINDS, SIDES, SIDES, SEEDS, st.data())
def test_damaged_photos_are_bad_examples_or_what_is_left_of_them(
    tmp_path, kind, height, width, seed, data
):
    """No other error, whatever is cut off or changed."""
    form, mode = kind
    content = bytearray(encode(draw_image(mode, height, width, seed), form, 6))
    for _ in range(data.draw(st.integers(0, 4), label="changes")):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = bytes(content[: data.draw(st.integers(0, len(content)), label="length")])
    path = tmp_path / "photo"
    path.write_bytes(content)
    for read in (read_image, read_pixels, read_label):
        try:
            read(str(path))
        except BadExample as error:
            assert str(path) in str(error)
    decodable(content)
    rest_client.decodable(content)


@given(SIDES, SIDES, SEEDS, st.text(min_size=0, max_size=20), st.sampled_from(["png", "jpeg"]))
def test_records_give_back_what_was_written(height, width, seed, name, image_format):
    random = np.random.default_rng(seed)
    label = random.choice([0, 1, 2, 255], (height, width)).astype(np.uint8)
    image = draw_image("RGB", height, width, seed)
    content = encode(image, image_format.upper(), 0)
    record = schema.encode_example(
        filename=name,
        image=content,
        image_format=image_format,
        height=height,
        width=width,
        label=encode(Image.fromarray(label), "PNG", 0),
    )
    found, found_label, found_name = schema.decode_example(tf.constant(record), 3, True)
    np.testing.assert_array_equal(found_label, label)
    np.testing.assert_array_equal(found, decode(content))
    assert found_name.numpy().decode() == name
    assert schema.find_fault(tf.constant(record), 3, True) is None
    assert (schema.find_fault(tf.constant(record), 2, True) is None) == (2 not in label)


@given(SIDES, SIDES, SIDES, SIDES, SEEDS)
def test_crops_are_of_the_image_or_ignored(height, width, crop_height, crop_width, seed):
    """The label of every pixel is that of the image's color there; beyond the image it is 255."""
    label = np.random.default_rng(seed).integers(0, 5, (height, width)).astype(np.uint8)
    constant = np.full((height, width, 3), 77, np.uint8)

    def read(rectangle):
        top, left, rows, columns = rectangle.numpy()
        assert top >= 0 and left >= 0 and top + rows <= height and left + columns <= width
        return constant[top : top + rows, left : left + columns]

    image, cropped = augment(
        read,
        tf.constant(label),
        [seed, 1],
        crop_size=(crop_height, crop_width),
        min_scale=0.5,
        max_scale=2.0,
        scale_step=0.25,
        flip=True,
    )
    assert image.shape == (crop_height, crop_width, 3) and cropped.shape == image.shape[:2]
    inside = cropped.numpy() != 255
    assert set(np.unique(cropped.numpy()[inside])) <= set(np.unique(label))
    np.testing.assert_allclose(image.numpy()[inside], 77, atol=1e-3)
    assert inside.any()


@given(st.integers(2, 12), st.integers(1, 5), st.integers(2, 5), SEEDS)
def test_genotypes_survive_their_files(tmp_path, layers, blocks, levels, seed):
    space = SearchSpace(num_layers=layers, num_blocks=blocks, num_levels=levels)
    genotype = sample_genotype(space, np.random.default_rng(seed))
    path = str(tmp_path / "genotype.json")
    save_genotype(genotype, path, note="more")
    assert load_genotype(path) == load_genotype(genotype.to_dict()) == genotype


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.floats(allow_nan=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["path", "cell", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(JSON | st.fixed_dictionaries({"path": JSON, "cell": JSON}))
def test_other_json_is_no_genotype_and_says_where(tmp_path, value):
    path = tmp_path / "genotype.json"
    path.write_text(json.dumps(value))
    try:
        genotype = load_genotype(str(path))
    except ValueError as error:
        assert "genotype.json" in str(error) and "\n" not in str(error)
    else:
        assert isinstance(genotype, Genotype) and load_genotype(genotype.to_dict()) == genotype

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.data import augmentation
from adl_tf.data.augmentation import augment
from adl_tf.data.normalization import MEAN_COLOR, denormalize, normalize
from adl_tf.data.schema import cut


def pair(height=31, width=45):
    """An image whose channels are its coordinates, and a label that follows from them."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([y, x, np.full_like(x, 77)], -1).astype(np.uint8)
    return image, ((y // 8) * 6 + x // 8).astype(np.uint8)


def run(
    seed=0, crop_size=(20, 24), min_scale=1.0, max_scale=1.0, scale_step=0.25, flip=False, **kw
):
    whole, label = pair(**kw)
    image, label = augment(
        lambda rectangle: cut(whole, rectangle),
        label,
        tf.constant([seed, 1]),
        crop_size=crop_size,
        min_scale=min_scale,
        max_scale=max_scale,
        scale_step=scale_step,
        flip=flip,
    )
    return image.numpy(), label.numpy()


def test_crop_at_scale_one_is_a_piece_of_the_image():
    image, label = pair()
    crop, crop_label = run()
    top, left = np.round(crop[0, 0, :2]).astype(int)
    np.testing.assert_allclose(crop, image[top : top + 20, left : left + 24], atol=0.01)
    np.testing.assert_array_equal(crop_label, label[top : top + 20, left : left + 24])


def test_crops_of_many_seeds_cover_the_image():
    corners = {tuple(np.round(run(seed)[0][0, 0, :2]).astype(int)) for seed in range(300)}
    assert {top for top, _ in corners} == set(range(31 - 20 + 1))
    assert {left for _, left in corners} == set(range(45 - 24 + 1))


def test_whole_image_keeps_its_border():
    image, label = pair()
    crop, crop_label = run(crop_size=(31, 45))
    np.testing.assert_allclose(crop, image, atol=0.01)
    np.testing.assert_array_equal(crop_label, label)


@pytest.mark.parametrize("scale", [0.5, 1.75, 2.0])
@pytest.mark.parametrize("flip", [False, True])
def test_label_stays_with_the_image_at_any_scale(scale, flip):
    for seed in range(8):
        crop, label = run(seed, min_scale=scale, max_scale=scale, flip=flip)
        inside = label != 255
        np.testing.assert_array_equal(inside, crop[..., 2] == 77)
        y, x = (np.round(crop[..., i]) for i in (0, 1))
        near_edge = (np.abs(crop[..., :2] % 8 - 7.5) <= 1).any(-1)  # Between two label regions.
        check = inside & ~near_edge
        np.testing.assert_array_equal(label[check], (y // 8 * 6 + x // 8)[check])
        if inside.all():
            step = np.diff(crop[..., 1], axis=1).mean()
            assert abs(step) == pytest.approx(1 / scale, rel=0.1)
            assert flip or step > 0


def test_half_of_the_crops_are_mirrored():
    mirrored = [
        run(seed, flip=True)[0][0, 0, 1] > run(seed, flip=True)[0][0, -1, 1] for seed in range(60)
    ]
    assert 15 < sum(mirrored) < 45


def test_crop_larger_than_the_image_is_padded():
    image, label = pair()
    crop, crop_label = run(crop_size=(50, 41))
    inside = crop_label != 255
    rows = inside.any(1)
    assert rows.sum() == 31 and inside[rows].all()
    assert (crop[~inside] == MEAN_COLOR).all()
    assert (normalize(crop[~inside]).numpy() == 0).all()


def test_scales_are_the_given_steps():
    scales = set()
    for seed in range(60):
        crop, _ = run(seed, min_scale=0.5, max_scale=1.0, scale_step=0.25, crop_size=(15, 15))
        scales.add(round(float(np.diff(crop[:, :, 1], axis=1).mean()), 1))
    assert scales == {1.0, 1.3, 2.0}


def test_scales_without_steps_fill_the_range():
    steps = [
        float(
            np.diff(
                run(s, crop_size=(9, 9), min_scale=1, max_scale=2, scale_step=0)[0][0, :, 1]
            ).mean()
        )
        for s in range(40)
    ]
    assert len(set(np.round(steps, 3))) > 20 and 0.45 < min(steps) < 0.6 and 0.85 < max(steps) < 1.1


def test_same_seed_same_crop_other_seed_other_crop():
    options = dict(min_scale=0.5, max_scale=2.0, flip=True)
    for a, b in zip(run(5, **options), run(5, **options)):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(run(5, **options)[0], run(6, **options)[0])


@pytest.mark.parametrize(
    "height, width, crop", [(1, 1, (3, 5)), (2, 7, (1, 1)), (33, 5, (65, 129))]
)
def test_odd_sizes(height, width, crop):
    image, label = run(crop_size=crop, min_scale=0.5, max_scale=2.0, height=height, width=width)
    assert image.shape == (*crop, 3) and label.shape == crop
    assert np.isfinite(image).all()


@pytest.mark.parametrize("height, width", [(1, 1), (2, 3), (64, 96), (255, 511)])
@pytest.mark.parametrize("crop_size", [(1, 1), (33, 48), (129, 65)])
def test_part_of_an_image_is_resampled_as_the_whole(monkeypatch, height, width, crop_size):
    options = dict(height=height, width=width, crop_size=crop_size, min_scale=0.5, max_scale=2.0)
    options.update(flip=True, scale_step=0)
    parts = [run(seed, **options) for seed in range(12)]
    monkeypatch.setattr(
        augmentation, "find_rectangle", lambda _, size: tf.concat([[0, 0], size], 0)
    )
    for seed, (image, label) in enumerate(parts):
        whole_image, whole_label = run(seed, **options)
        np.testing.assert_array_equal(label, whole_label)
        np.testing.assert_allclose(image, whole_image, atol=0.05)


def test_normalize_and_back():
    values = np.arange(256, dtype=np.uint8)
    normalized = normalize(values).numpy()
    assert normalized.min() == -1 and normalized.max() == 1
    np.testing.assert_array_equal(denormalize(normalized), values)

"""Pictures of a report: predictions of an export, and bars of classes."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from adl_tf.data.reader import RecordReader
from adl_tf.evaluation.metrics import count_pixels, mean_iou
from adl_tf.planning.fingerprint import take_fingerprint
from adl_tf.planning.pictures import draw_shares, predict_examples
from adl_tf.visualization.predictions import SEPARATOR
from data_prep import convert_synthetic


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("records") / "streets")
    convert_synthetic.build(directory, num_train=3, num_val=5, height=32, width=48)
    return directory


class Road(tf.Module):
    """An export that labels all pixels as the first class."""

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="images")])
    def segment(self, images):
        return {"labels": tf.zeros(tf.shape(images)[:3], tf.uint8)}


def test_photos_are_shown_beside_what_the_export_makes_of_them(streets, tmp_path):
    road = Road()
    tf.saved_model.save(road, str(tmp_path / "1"), {"serving_tensor": road.segment})
    shown = predict_examples(streets, str(tmp_path), str(tmp_path / "pictures"))
    reader = RecordReader(streets, "val")
    assert len(shown) == 3
    for entry, place in zip(shown, (0, 2, 4)):
        image, label, name, _ = reader.load(tf.constant(place, tf.int64))
        assert entry["name"] == name.numpy().decode()
        label = tf.cast(label, tf.int32)
        counts = count_pixels(label, tf.zeros_like(label), reader.num_classes)
        assert entry["miou"] == pytest.approx(mean_iou(counts.numpy()))
        panel = np.asarray(Image.open(entry["file"]))
        assert panel.shape == (32, 5 * 48 + 4 * SEPARATOR, 3)
        np.testing.assert_array_equal(panel[:, :48], image.numpy())


def test_bars_of_classes_are_as_long_as_their_shares(streets):
    fingerprint = take_fingerprint(streets)
    (axes,) = draw_shares(fingerprint).axes
    assert axes.get_xscale() == "linear"
    widths = [bar.get_width() for bar in axes.patches]
    shares = [share for split in fingerprint.class_shares.values() for share in split]
    np.testing.assert_allclose(widths, 100 * np.array(shares))

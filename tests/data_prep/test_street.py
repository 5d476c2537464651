import numpy as np

from data_prep.street import draw_street


def test_seed_decides_everything():
    def draw(seed):
        return draw_street(np.random.default_rng(seed), 48, 64)

    np.testing.assert_array_equal(draw(1)[0], draw(1)[0])
    assert not np.array_equal(draw(1)[1], draw(2)[1])


def test_sky_is_bluer_than_road():
    """The pictures can be learned from: classes differ in color and place."""
    image, label = draw_street(np.random.default_rng(0), 128, 256)
    sky, road = (image[label == i].astype(float) for i in (0, 2))
    assert (sky[:, 2] - sky[:, 0]).mean() > 20 + (road[:, 2] - road[:, 0]).mean()
    assert np.nonzero(label == 0)[0].mean() < np.nonzero(label == 2)[0].mean()

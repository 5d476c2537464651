"""Taking batches off streams and comparing them, for the tests of everything that streams."""

import numpy as np

OPTIONS = dict(batch_size=2, crop_size=(17, 33), seed=7, deterministic=True)


def take(stream, batches):
    return [{k: v.numpy() for k, v in batch.items()} for batch in stream.take(batches)]


def positions(batches):
    return np.concatenate([batch["position"] for batch in batches]).tolist()


def assert_equal(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])

"""The fit of benchmarks/scaling.py, to numbers that follow a known law."""

import importlib.util
import pathlib

import pytest


@pytest.fixture(scope="module")
def scaling():
    path = pathlib.Path(__file__).parent.parent / "benchmarks" / "scaling.py"
    spec = importlib.util.spec_from_file_location("scaling", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_linear_law_is_found_and_predicts_what_was_left_out(scaling):
    rows = [{"a": a, "b": b, "seconds": 2 + 3 * a + 0.5 * b} for a, b in ((1, 9), (4, 1), (2, 2))]
    rows += [{"a": 7.0, "b": 30.0, "seconds": 38.0}]
    predicted, factors = scaling.predict(rows, lambda row: [1, row["a"], row["b"]], "seconds")
    assert factors == pytest.approx([2, 3, 0.5])
    assert predicted == pytest.approx([row["seconds"] for row in rows])


def test_feature_maps_grow_with_pixels_filters_and_batch(scaling):
    base = scaling.feature_maps(scaling.BASE)
    twice = scaling.feature_maps({**scaling.BASE, "batch": 4})
    wider = scaling.feature_maps({**scaling.BASE, "filters": 16})
    assert twice == pytest.approx([2 * count for count in base])
    assert wider == pytest.approx(twice)

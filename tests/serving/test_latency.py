"""Latency: both contenders run."""

from adl_tf.serving.latency import measure_latency


def test_both_are_timed(model_dir, export):
    seconds = measure_latency(model_dir, export["export_dir"], (33, 49), repeats=1)
    assert seconds.keys() == {"export", "keras"} and all(seconds.values())

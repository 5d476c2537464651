"""What a run writes after each epoch."""

import json

import tensorflow as tf

from adl_tf.data.description import DatasetDescription
from adl_tf.training.callbacks.metrics_log import MetricsLog


def test_tensorboard_counts_steps_where_the_log_counts_epochs(tmp_path):
    optimizer = tf.keras.optimizers.Adam()
    description = DatasetDescription("x", ("a",), ((0, 0, 0),), {})
    log = MetricsLog(str(tmp_path), None, optimizer, description, [])
    for epoch in (0, 1):
        optimizer.iterations.assign(250 * (epoch + 1))
        log.on_epoch_end(epoch, {"loss": 1.0})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2]
    (file,) = tmp_path.glob("events*")
    events = tf.compat.v1.train.summary_iterator(str(file))
    steps = [e.step for e in events for value in e.summary.value if value.tag == "loss"]
    assert steps == [250, 500]

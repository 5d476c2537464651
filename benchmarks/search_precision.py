"""Whether a search in 16 bits goes where one in float32 goes.

python benchmarks/search_precision.py --dataset_dir=data/camvid [--steps=200] \
    [--precisions=mixed_bfloat16,mixed_float16]

Alternating steps from the same weights: in float32, in float32 on the same images in another order
(the noise of a search), in float32 from weights that were rounded to bfloat16 once (what rounding
does to any search), and in each of the precisions. Prints one JSON line last: of each the
distance of alpha and of beta to those of the first, over the way that these went, the loss, and the
seconds. A processor may lack kernels of mixed_float16, and then takes many times as long.
"""

import json
import os
import sys
import time

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

OPTIONS = flags.FLAGS


def search(precision, seed, rounded=False):
    """How far alpha and beta moved, the mean loss of the last tenth, and the seconds."""
    start = time.monotonic()
    import numpy as np
    import tensorflow as tf

    from adl_tf.models.supernet import Supernet
    from adl_tf.runs.data import RunData
    from adl_tf.space.search_space import SearchSpace
    from adl_tf.training import optimizers
    from adl_tf.training.alternating_model import AlternatingModel
    from adl_tf.training.devices import precision_policy

    data = RunData(OPTIONS.dataset_dir, crop_size=97, batch_size=4, seed=seed, deterministic=True)
    space = SearchSpace(num_layers=4, num_blocks=2, filter_multiplier=4)
    with precision_policy(precision):
        tf.keras.utils.set_random_seed(0)
        model = AlternatingModel(Supernet(space, data.num_classes, separable_atrous=True))
        steps = OPTIONS.steps
        architecture_optimizer = optimizers.architecture_optimizer(steps, rate=OPTIONS.rate)
        model.compile(optimizers.weight_optimizer(steps), architecture_optimizer)
        model.build((None, 97, 97, 3))
        if rounded:
            for weight in model.supernet.weight_variables:
                weight.assign(tf.cast(tf.cast(weight, tf.bfloat16), tf.float32))
        before = [v.numpy() for v in model.supernet.architecture_variables]
        streams = tuple(data.training_stream(0, half) for half in "AB")
        losses = []
        callback = tf.keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: losses.append(logs["loss"])
        )
        stream = tf.data.Dataset.zip(streams)
        model.fit(stream, epochs=10, steps_per_epoch=steps // 10, verbose=0, callbacks=[callback])
        after = [v.numpy() for v in model.supernet.architecture_variables]
    seconds = round(time.monotonic() - start)
    print(f"{precision}: {seconds} s", file=sys.stderr)
    return [a - b for a, b in zip(after, before)], float(np.round(losses[-1], 4)), seconds


def main(argv):
    del argv
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    import numpy as np

    runs = {
        "float32": search("float32", 0),
        "float32, another order": search("float32", 1),
        "float32, rounded weights": search("float32", 0, rounded=True),
        **{precision: search(precision, 0) for precision in OPTIONS.precisions},
    }
    expected, *_ = runs["float32"]
    rows = {}
    for name, (moved, loss, seconds) in runs.items():
        distances = [
            float(np.round(np.linalg.norm(m - e) / np.linalg.norm(e), 3))
            for m, e in zip(moved, expected)
        ]
        rows[name] = {**dict(zip(("alpha", "beta"), distances)), "loss": loss, "seconds": seconds}
    print(json.dumps({"steps": OPTIONS.steps, "rows": rows}))


if __name__ == "__main__":
    flags.DEFINE_string("dataset_dir", None, "Records of a data set.", required=True)
    flags.DEFINE_integer("steps", 200, "Alternating steps.", lower_bound=10)
    flags.DEFINE_float("rate", 0.003, "Of alpha and beta; the paper's by default.")
    flags.DEFINE_list("precisions", ["mixed_bfloat16", "mixed_float16"], "Besides float32.")
    app.run(main)

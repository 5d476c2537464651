"""How time and memory of a search step grow with crop, F, L, B, batch and replicas.

python benchmarks/scaling.py [--output=FILE.jsonl] [--paper]

Each case is a process of its own: the weight step and both steps of an AlternatingModel on random
batches, without the input pipeline, next to the supernet's Multi-Adds. Replicas are parts of the
CPU. Seconds are fitted as a sum, with factors that are not negative, of a constant, the Multi-Adds,
and the elements of all feature maps; memory as one of a constant, the weights, the feature maps
that are kept, and those of the largest cell. `predicted` is what the fit to all other cases says of
a case. With --paper the paper's search settings (crop 321, F = 8, L = 12, B = 5, full atrous
convolutions) at batch 2 and 8 instead, without a fit. Cases that --output has already are not run
again. Prints one JSON line last.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
BASE = {"crop": 129, "filters": 8, "layers": 6, "blocks": 3, "batch": 2, "replicas": 1}
CHANGES = (
    {},
    {"crop": 193},
    {"crop": 257},
    {"filters": 4},
    {"filters": 16},
    {"layers": 4},
    {"layers": 10},
    {"blocks": 2},
    {"blocks": 5},
    {"batch": 4},
    {"batch": 8},
    {"batch": 4, "replicas": 2},
)
PAPER = {"crop": 321, "filters": 8, "layers": 12, "blocks": 5, "replicas": 1, "full": True}
LIMITS = {2: 6.0, 8: 16.0}  # GB, by batch.
CLASSES, REPEATS = 19, 3


def space_of(case):
    from adl_tf.space.search_space import SearchSpace

    return SearchSpace(
        num_layers=case["layers"],
        num_blocks=case["blocks"],
        filter_multiplier=case["filters"],
    )


def feature_maps(case):
    """Elements of the feature maps of all edges, of those kept, and of the largest cell."""
    space = space_of(case)
    edges = sum(block + 2 for block in range(case["blocks"]))
    all_edges = kept = 0.0
    for layer in range(case["layers"]):
        for level in space.levels(layer):
            size = case["filters"] / (16 * 2**level)  # Filters times pixels, by image pixel.
            moves = len(space.predecessors(layer, level)) or 1
            all_edges += moves * edges * len(space.ops) * size
            kept += (moves + 1) * case["blocks"] * size
    pixels = case["batch"] * case["crop"] ** 2
    largest = edges * len(space.ops) * case["filters"] / 16
    return [pixels * count for count in (all_edges, kept, largest)]


def weights(row):
    """What grows as the weights of all replicas do: Multi-Adds by pixel."""
    return row["multi_adds"] / (row["batch"] * row["crop"] ** 2) * row["replicas"]


def measure(case):
    """Prints seconds, memory and Multi-Adds of a case."""
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    import numpy as np
    import tensorflow as tf

    from adl_tf.models.profiling import profile_network
    from adl_tf.models.supernet import Supernet
    from adl_tf.training import optimizers
    from adl_tf.training.alternating_model import AlternatingModel
    from adl_tf.training.devices import configure_runtime

    if case["replicas"] > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * case["replicas"],
        )
    configure_runtime(small_kernels=True)
    tf.keras.utils.set_random_seed(0)
    strategy = tf.distribute.get_strategy()
    if case["replicas"] > 1:
        strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(case["replicas"])])
    crop, batch = case["crop"], case["batch"] // case["replicas"]
    with strategy.scope():
        model = AlternatingModel(
            Supernet(space_of(case), CLASSES, separable_atrous=not case.get("full"))
        )
        model.compile(optimizers.weight_optimizer(1000), optimizers.architecture_optimizer(1000))
        model.build((None, crop, crop, 3))
    random = np.random.default_rng(0)
    images = {
        "image": tf.constant(random.normal(size=(batch, crop, crop, 3)), tf.float32),
        "label": tf.constant(random.integers(0, CLASSES, (batch, crop, crop)), tf.int32),
    }
    result = {}
    for name, data in (("weight_step", (images,)), ("both_steps", (images, images))):
        step = tf.function(
            lambda data=data: strategy.run(lambda: model.train_step(data)["loss"]), autograph=False
        )
        seconds = []
        for _ in range(REPEATS + 1):  # The first one builds the graph.
            start = time.perf_counter()
            loss = step()
            float(strategy.experimental_local_results(loss)[0])
            seconds.append(time.perf_counter() - start)
        result[name] = round(statistics.median(seconds[1:]), 4)
    result["memory"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3)
    plain = Supernet(space_of(case), CLASSES, separable_atrous=not case.get("full"))
    plain.build((None, crop, crop, 3))
    result["multi_adds"] = profile_network(plain, (crop, crop)).multi_adds * case["batch"]
    print(json.dumps(result))


def predict(rows, features, target):
    """What fits to all other rows say of each row, and the factors of the fit to all rows."""
    import numpy as np
    from scipy.optimize import nnls

    table = np.array([features(row) for row in rows], float)
    scale = table.max(axis=0)
    values = np.array([row[target] for row in rows])

    def fit(kept):
        # Relative errors count: the small cases must not be forgotten.
        weights = 1 / values[kept]
        return nnls(table[kept] / scale * weights[:, None], np.ones(len(weights)))[0]

    everything = np.arange(len(rows))
    predictions = [table[i] / scale @ fit(everything[everything != i]) for i in everything]
    return predictions, (fit(everything) / scale).tolist()


def add_predictions(rows):
    """Adds `predicted` to each row; returns the factors."""
    factors = {}
    for target, features in (
        ("weight_step", lambda row: [1, row["multi_adds"], feature_maps(row)[0]]),
        ("both_steps", lambda row: [1, row["multi_adds"], feature_maps(row)[0]]),
        ("memory", lambda row: [1, weights(row), *feature_maps(row)[1:]]),
    ):
        predictions, factors[target] = predict(rows, features, target)
        for row, prediction in zip(rows, predictions):
            row.setdefault("predicted", {})[target] = round(float(prediction), 3)
    return factors


def main(argv):
    del argv
    from absl import flags

    options = flags.FLAGS
    done = []
    if options.output and os.path.exists(options.output):
        with open(options.output) as file:
            done = [json.loads(line) for line in file]
    cases = [{**BASE, **change} for change in CHANGES]
    if options.paper:
        cases = [{**PAPER, "batch": batch} for batch in LIMITS]
    rows = []
    for case in cases:
        row = next((row for row in done if all(row.get(k) == v for k, v in case.items())), None)
        if row is None:
            command = [sys.executable, os.path.abspath(__file__), "measure", json.dumps(case)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            row = {**case, **json.loads(output.splitlines()[-1])}
            if options.output:
                with open(options.output, "a") as file:
                    file.write(json.dumps(row) + "\n")
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    result = {"cores": len(os.sched_getaffinity(0)), "rows": rows}
    if options.paper:
        for row in rows:
            row["limit"] = LIMITS[row["batch"]]
    else:
        result["factors"] = add_predictions(rows)
    print(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(json.loads(sys.argv[2]))
    else:
        from absl import app, flags

        flags.DEFINE_string("output", None, "JSON lines of the cases that are done.")
        flags.DEFINE_bool("paper", False, "The paper's settings instead, and their limits.")
        app.run(main)

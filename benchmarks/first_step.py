"""Where the seconds of a search go before its first steps are done.

python benchmarks/first_step.py [--layers=12] [--blocks=5] [--filters=8] [--crop_size=129] \
    [--passes=all|none|NAME,...]

A supernet on random batches, in this process: imports, building, and for the step of the weights
and for the step of both, the tracing of its graph, its first run (TensorFlow rewrites the graph and
creates its kernels, then makes the step), and the median of later steps. All in CPU seconds, so
that other work on the machine disturbs little. --passes leaves TensorFlow only some of its
rewriting passes, such as constant_folding; `none` runs graphs as they are written. Prints one JSON
line last.
"""

import json
import os
import resource
import statistics
import time

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
OPTIONS = flags.FLAGS
BATCH, CLASSES = 2, 19
PASSES = (
    *("layout_optimizer", "constant_folding", "shape_optimization", "remapping"),
    *("arithmetic_optimization", "dependency_optimization", "loop_optimization"),
    *("function_optimization", "scoped_allocator_optimization", "pin_to_host_optimization"),
    "implementation_selector",
)


def main(argv):
    del argv
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    from adl_tf.system.startup import collect_rarely

    collect_rarely()  # As programs do.
    import numpy as np
    import tensorflow as tf

    from adl_tf.models.supernet import Supernet
    from adl_tf.space.search_space import SearchSpace
    from adl_tf.training import optimizers
    from adl_tf.training.alternating_model import AlternatingModel
    from adl_tf.training.devices import configure_runtime

    configure_runtime(small_kernels=True)
    if OPTIONS.passes == "none":
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    elif OPTIONS.passes != "all":
        chosen = OPTIONS.passes.split(",")
        tf.config.optimizer.set_experimental_options({name: name in chosen for name in PASSES})
    tf.keras.utils.set_random_seed(0)
    seconds = {"imports": time.process_time()}
    space = SearchSpace(
        num_layers=OPTIONS.layers, num_blocks=OPTIONS.blocks, filter_multiplier=OPTIONS.filters
    )
    model = AlternatingModel(Supernet(space, CLASSES, separable_atrous=OPTIONS.separable_atrous))
    weights, architecture = (
        optimizers.weight_optimizer(1000),
        optimizers.architecture_optimizer(1000),
    )
    model.compile(weights, architecture)
    crop = OPTIONS.crop_size
    model.build((None, crop, crop, 3))
    seconds["building"] = time.process_time() - seconds["imports"]
    random = np.random.default_rng(0)
    batch = {
        "image": tf.constant(random.normal(size=(BATCH, crop, crop, 3)), tf.float32),
        "label": tf.constant(random.integers(0, CLASSES, (BATCH, crop, crop)), tf.int32),
        "position": tf.range(BATCH, dtype=tf.int64),
    }
    for name, batches in (("weights", (batch,)), ("both", (batch, batch))):
        step = tf.function(lambda data=batches: model.train_step(data)["loss"], autograph=False)
        seconds[f"{name}: tracing"] = timed(step.get_concrete_function)
        seconds[f"{name}: first run"] = timed(lambda run=step: float(run()))
        later = [timed(lambda run=step: float(run())) for _ in range(OPTIONS.repeats)]
        seconds[f"{name}: a step"] = statistics.median(later)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    result = {name: round(value, 3) for name, value in seconds.items()}
    print(json.dumps({"passes": OPTIONS.passes, **result, "peak_gb": round(peak, 2)}))


def timed(run):
    started = time.process_time()
    run()
    return time.process_time() - started


if __name__ == "__main__":
    flags.DEFINE_integer("layers", 12, "Layers of the supernet.", lower_bound=2)
    flags.DEFINE_integer("blocks", 5, "Blocks of a cell.", lower_bound=1)
    flags.DEFINE_integer("filters", 8, "F.", lower_bound=1)
    flags.DEFINE_integer("crop_size", 129, "Side of the crops.", lower_bound=33)
    flags.DEFINE_integer("repeats", 5, "Steps after the first.", lower_bound=1)
    flags.DEFINE_bool("separable_atrous", True, "As in the recommended searches.")
    flags.DEFINE_string("passes", "all", "What TensorFlow may rewrite.")
    app.run(main)

"""Time and memory of a step of the search, next to a PyTorch peer.

python benchmarks/search_step.py [--bfloat16] [--peer=CHECKOUT --peer_python=PYTHON]

Times the weight step and the architecture step of the paper's network (F = 8, L = 12,
B = 5, batch 2), the time from the start of a process to the end of its first step, and its peak
memory, each configuration in a process of its own, ours and the peer's in turn. The peer is a
checkout of github.com/NoamRosenberg/autodeeplab, run by a Python that has torch. Prints one JSON
line last; ratios are peer / ours, above 1 where ours is faster or smaller.
"""

import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import time

START = time.time()
BATCH, CLASSES = 2, 19


def report(steps, first, crop):
    """What a measuring process prints: medians in seconds, peak memory in gigabytes."""
    print(
        json.dumps(
            {
                "crop": crop,
                **{name: round(statistics.median(times), 3) for name, times in steps.items()},
                "first_step": round(first, 1),
                "peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
            }
        )
    )


def random_batch(crop):
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(0)
    return {
        "image": tf.constant(random.normal(size=(BATCH, crop, crop, 3)), tf.float32),
        "label": tf.constant(random.integers(0, CLASSES, (BATCH, crop, crop)), tf.int32),
        "position": tf.range(BATCH, dtype=tf.int64),
    }


def measure_ours(crop, repeats, separable_atrous, precision):
    """Steps of an AlternatingModel on random batches, without the input pipeline."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    from adl_tf.system.startup import collect_rarely

    collect_rarely()  # As programs do.
    import tensorflow as tf

    from adl_tf.layers.variables import of_one_name
    from adl_tf.models.supernet import Supernet
    from adl_tf.space.search_space import SearchSpace
    from adl_tf.training import optimizers
    from adl_tf.training.alternating_model import AlternatingModel
    from adl_tf.training.devices import configure_runtime, graphs_as_written

    configure_runtime(small_kernels=True)
    tf.keras.utils.set_random_seed(0)
    tf.keras.mixed_precision.set_global_policy(precision)
    with of_one_name("supernet"):  # As the search.
        supernet = Supernet(SearchSpace(), CLASSES, separable_atrous=separable_atrous)
        model = AlternatingModel(supernet)
        model.compile(optimizers.weight_optimizer(1000), optimizers.architecture_optimizer(1000))
        model.build((None, crop, crop, 3))
    batch = random_batch(crop)
    weight_step = tf.function(lambda: model.train_step((batch,))["loss"], autograph=False)

    def timed(step):
        start = time.perf_counter()
        float(step())
        return time.perf_counter() - start

    with graphs_as_written():  # As the search.
        timed(weight_step)
        first = time.time() - START
        weight = [timed(weight_step) for _ in range(repeats)]
        del weight_step  # As the search does at the start of the alternating epochs.
        gc.collect()
        both_steps = tf.function(lambda: model.train_step((batch, batch))["loss"], autograph=False)
        timed(both_steps)
        bilevel = [timed(both_steps) for _ in range(repeats)]
    report({"weight_step": weight, "bilevel_step": bilevel}, first, crop)


def measure_peer(crop, repeats, checkout):
    """The peer's network, optimizers and order of steps, as its own training script has them."""
    import types

    sys.path.insert(0, checkout)
    # A CUDA extension that the search never calls, but the peer imports.
    extension = types.ModuleType("modeling.modules")
    extension.InPlaceABNSync = None
    sys.modules["modeling.modules"] = extension
    import torch
    from auto_deeplab import AutoDeeplab

    torch.Tensor.cuda = lambda self, *args, **kwargs: self
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = AutoDeeplab(CLASSES, 12, None, 8, 5, 5)
    weights = torch.optim.SGD(
        model.weight_parameters(), lr=0.025, momentum=0.9, weight_decay=0.0003
    )
    architecture = torch.optim.Adam(
        model.arch_parameters(), lr=0.003, betas=(0.9, 0.999), weight_decay=0.001
    )
    images = torch.randn(BATCH, 3, crop, crop)
    labels = torch.randint(0, CLASSES, (BATCH, crop, crop))

    def timed(optimizer):
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(images), labels, ignore_index=255)
        loss.backward()
        optimizer.step()
        return time.perf_counter() - start

    timed(weights)
    first = time.time() - START
    weight, bilevel = [], []
    for _ in range(repeats):
        weight.append(timed(weights))
        bilevel.append(weight[-1] + timed(architecture))
    report({"weight_step": weight, "bilevel_step": bilevel}, first, crop)


def run_process(python, *arguments):
    output = subprocess.run(
        [python, os.path.abspath(__file__), *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return json.loads(output.splitlines()[-1])


def main(argv):
    del argv
    from absl import flags

    options = flags.FLAGS
    rows = []
    for crop in map(int, options.crops):
        row = {"crop": crop}
        measured = {
            "separable": (sys.executable, "ours", crop, options.repeats, 1, "float32"),
            "full": (sys.executable, "ours", crop, options.repeats, 0, "float32"),
        }
        if options.bfloat16:
            bfloat16 = (sys.executable, "ours", crop, options.repeats, 1, "mixed_bfloat16")
            measured["separable, bfloat16"] = bfloat16
        if options.peer:
            measured["peer"] = (
                options.peer_python,
                "peer",
                crop,
                options.peer_repeats,
                os.path.abspath(options.peer),
            )
        for name, arguments in measured.items():
            row[name] = run_process(*arguments)
            print(f"crop {crop}, {name}: {row[name]}", file=sys.stderr, flush=True)
        if options.peer:
            row["ratios"] = {
                key: round(row["peer"][key] / row["separable"][key], 2)
                for key in ("weight_step", "bilevel_step", "peak_gb", "first_step")
            }
        rows.append(row)
    print(json.dumps({"cores": len(os.sched_getaffinity(0)), "batch": BATCH, "rows": rows}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        measure_ours(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1", sys.argv[5])
    elif sys.argv[1:2] == ["peer"]:
        measure_peer(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        from absl import app, flags

        flags.DEFINE_list("crops", ["129", "321"], "Sides of the crops.")
        flags.DEFINE_integer("repeats", 4, "Steps of each kind after the first.")
        flags.DEFINE_bool("bfloat16", False, "Time mixed_bfloat16 as well.")
        flags.DEFINE_string("peer", None, "Checkout of the PyTorch peer.")
        flags.DEFINE_string("peer_python", sys.executable, "A Python with torch.")
        flags.DEFINE_integer("peer_repeats", 2, "Bilevel steps of the peer after the first.")
        app.run(main)

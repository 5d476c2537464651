"""How long the networks that a search tries take to start, the first one and the twentieth.

python benchmarks/candidates.py [--candidates=20] [--layers=5] [--blocks=2] [--crop_size=97]

Random networks of one space, one after the other in this process as in a search: for each, the
seconds from its genotype to the end of its first step, less those of a later step, on the clock and
of the processors; those of later steps; and the process's memory after it. So how many networks get
their first rung in ten minutes. Prints one JSON line last. With the root of another checkout in
PYTHONPATH it measures that version.
"""

import gc
import json
import os
import statistics
import time

from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
OPTIONS = flags.FLAGS
BATCH, CLASSES = 4, 11


def start(genotype):
    """Seconds and CPU seconds from the genotype to the end of the first step, less a later step;
    seconds of a later step."""
    import numpy as np
    import tensorflow as tf

    from adl_tf.layers.variables import of_one_name
    from adl_tf.models.auto_deeplab import DecodedNetwork
    from adl_tf.training.optimizers import training_optimizer
    from adl_tf.training.training_model import TrainingModel

    tf.keras.backend.clear_session()
    gc.collect()
    crop, random = OPTIONS.crop_size, np.random.default_rng(0)
    batch = {
        "image": random.uniform(-1, 1, (BATCH, crop, crop, 3)).astype(np.float32),
        "label": random.integers(0, CLASSES, (BATCH, crop, crop)).astype(np.int32),
        "position": np.arange(BATCH, dtype=np.int64),
    }
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    begin = now()
    with of_one_name("candidate"):
        model = TrainingModel(DecodedNetwork(genotype, OPTIONS.filters, CLASSES))
        model.compile(training_optimizer(100))
        model.build((None, crop, crop, 3))
    step = model.make_train_function()
    steps = [begin]
    for _ in range(6):
        float(step(batches)["loss"])
        steps.append(now())
    first, *later = ([b - a for a, b in zip(*pair)] for pair in zip(steps, steps[1:]))
    step, cpu_step = (statistics.median(times) for times in zip(*later))
    return first[0] - step, first[1] - cpu_step, step


def now():
    return time.perf_counter(), time.process_time()


def resident():
    """MiB in memory now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main(argv):
    del argv
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    from adl_tf.system.startup import collect_rarely

    collect_rarely()  # As programs do.
    import numpy as np

    from adl_tf.space.sampling import sample_genotype
    from adl_tf.space.search_space import SearchSpace
    from adl_tf.training.devices import configure_runtime, graphs_as_written

    configure_runtime()
    space = SearchSpace(num_layers=OPTIONS.layers, num_blocks=OPTIONS.blocks)
    random, seconds, memory = np.random.default_rng(0), [], []
    with graphs_as_written():
        for _ in range(OPTIONS.candidates):
            seconds.append(start(sample_genotype(space, random)))
            memory.append(round(resident()))
    result = {"cores": len(os.sched_getaffinity(0)), "version": os.path.dirname(adl_tf.__file__)}
    starts, cpu_starts, steps = zip(*seconds)
    for name, values in {"seconds": starts, "cpu_seconds": cpu_starts}.items():
        result[name] = {
            "first": round(values[0], 2),
            "last": round(values[-1], 2),
            "median": round(statistics.median(values[1:]), 2),
            "range": [round(min(values[1:]), 2), round(max(values[1:]), 2)],
        }
    rung = statistics.mean(starts[1:]) + OPTIONS.rung_steps * statistics.mean(steps)
    result["step"] = round(statistics.mean(steps), 4)
    result["in_ten_minutes"] = round(600 / rung)
    print(json.dumps({**result, "megabytes": [memory[0], memory[-1]]}))


if __name__ == "__main__":
    flags.DEFINE_integer("candidates", 20, "Networks.", lower_bound=2)
    flags.DEFINE_integer("layers", 5, "Of each network.")
    flags.DEFINE_integer("blocks", 2, "Of each cell.")
    flags.DEFINE_integer("filters", 14, "F.")
    flags.DEFINE_integer("rung_steps", 40, "Steps of a first rung.")
    flags.DEFINE_integer("crop_size", 97, "Side of the crops.")
    app.run(main)

"""How long XLA takes to compile a weight step of small supernets.

python benchmarks/search_xla.py [--limit=240]

Each space is a process of its own, ended at the limit. Prints one JSON line last: by layers
and blocks the seconds of the first step without and with XLA; null where the limit was reached.
"""

import json
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SPACES = ((2, 1), (2, 2), (3, 2))  # Layers and blocks, F = 4, two strides, crop 65.


def measure(layers, blocks, compiled):
    """Prints the seconds of the first step."""
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    import tensorflow as tf

    from adl_tf.models.supernet import Supernet
    from adl_tf.space.search_space import SearchSpace
    from adl_tf.training import optimizers
    from adl_tf.training.alternating_model import AlternatingModel

    space = SearchSpace(
        num_layers=layers, num_blocks=blocks, num_levels=2, filter_multiplier=4, stem=(16, 16, 32)
    )
    model = AlternatingModel(Supernet(space, 3))
    model.compile(
        optimizers.weight_optimizer(9),
        optimizers.architecture_optimizer(9),
        jit_compile=compiled,
    )
    model.build((None, 65, 65, 3))
    batch = tf.zeros([2, 65, 65, 3]), tf.zeros([2, 65, 65], tf.int32)
    start = time.perf_counter()
    model.fit(tf.data.Dataset.from_tensors((batch,)), verbose=0)
    print(round(time.perf_counter() - start, 1))


def main(argv):
    del argv
    from absl import flags

    rows = []
    for layers, blocks in SPACES:
        row = {"layers": layers, "blocks": blocks}
        for name, compiled in (("plain", 0), ("xla", 1)):
            command = [sys.executable, os.path.abspath(__file__), "measure"]
            try:
                output = subprocess.run(
                    [*command, *map(str, (layers, blocks, compiled))],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                    timeout=flags.FLAGS.limit,
                ).stdout
                row[name] = float(output.splitlines()[-1])
            except subprocess.TimeoutExpired:
                row[name] = None
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    print(json.dumps({"cores": len(os.sched_getaffinity(0)), "rows": rows}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1")
    else:
        from absl import app, flags

        flags.DEFINE_integer("limit", 240, "Seconds for a step.", lower_bound=1)
        app.run(main)

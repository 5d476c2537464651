"""What batch norms over all devices cost in a training step of two workers on this machine.

python benchmarks/synchronized_norm.py [--crop_size=129 --repeats=10]

Two processes share each step over loopback: with batch norms of a device's own images, with those
of `RunNetwork.synchronized_batch_norm`, which sum once over the devices, and with Keras's, which
sum three times. Prints one JSON line last: of each the sums over devices in the graph of a step,
those of gradients included, and the median seconds of a step.
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time

KINDS = ("own", "synchronized", "keras")


def measure(kind, crop, repeats):
    """One worker of a step; the cluster is in TF_CONFIG."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    import tensorflow as tf

    from adl_tf.layers.synchronized_norm import synchronize_norms
    from adl_tf.models.registry import DECODED, NetworkDescription, build_network
    from adl_tf.training.optimizers import training_optimizer
    from adl_tf.training.training_model import TrainingModel

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    tf.get_logger().setLevel("ERROR")
    tf.keras.utils.set_random_seed(0)
    with strategy.scope():
        network = build_network(NetworkDescription(DECODED, 11, "auto_deeplab", 8))
        model = TrainingModel(network)
        model.compile(training_optimizer(total_steps=1000, initial_rate=0.001))
        model.build((None, crop, crop, 3))
        if kind == "synchronized":
            synchronize_norms(network)
        elif kind == "keras":
            for layer in network.submodules:
                if isinstance(layer, tf.keras.layers.BatchNormalization):
                    layer.synchronized, layer.fused = True, False
    batch = {
        "image": tf.random.normal([4, crop, crop, 3]),
        "label": tf.random.uniform([4, crop, crop], maxval=11, dtype=tf.int32),
        "position": tf.range(4, dtype=tf.int64),
    }
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    stream = tf.data.Dataset.from_tensors(batch).repeat().with_options(options)
    batches = iter(strategy.experimental_distribute_dataset(stream))
    step = model.make_train_function()
    seconds = []
    for _ in range(2 + repeats):
        start = time.perf_counter()
        step(batches)
        seconds.append(time.perf_counter() - start)
    graph = step.get_concrete_function(batches).graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    sums = sum(node.op.startswith("CollectiveReduce") for node in nodes)
    print(json.dumps({"sums": sums, "seconds": round(statistics.median(seconds[2:]), 3)}))


def run_workers(kind, crop, repeats):
    """What the first of two workers prints."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    workers = []
    for index in range(2):
        task = {"type": "worker", "index": index}
        arguments = ["worker", kind, str(crop), str(repeats)]
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        workers.append(
            subprocess.Popen(
                [sys.executable, os.path.abspath(__file__), *arguments],
                env={**os.environ, "TF_CONFIG": config, "TF_NUM_INTRAOP_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=None if index == 0 else subprocess.DEVNULL,
                text=True,
            )
        )
    output, _ = [worker.communicate()[0] for worker in workers]
    return json.loads(output.splitlines()[-1])


def main(argv):
    del argv
    from absl import flags

    options = flags.FLAGS
    results = {}
    for kind in KINDS:
        results[kind] = run_workers(kind, options.crop_size, options.repeats)
        print(kind, results[kind], file=sys.stderr, flush=True)
    print(json.dumps(results))


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        measure(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        from absl import app, flags

        flags.DEFINE_integer("crop_size", 129, "Side of the crops.", lower_bound=1)
        flags.DEFINE_integer("repeats", 10, "Timed steps of each.", lower_bound=1)
        app.run(main)

"""Time of a training step of several networks, side by side.

python benchmarks/train_step.py --networks=auto_deeplab:8,deeplab_v3_plus_resnet50:0.625

A network is a genotype and its filter multiplier, or a baseline and its width; a "=" at its end
leaves its graph as it is written (see `graphs_as_written`), a "~" trains it in bfloat16. Random
batches, no input pipeline; the networks take turns. Prints one JSON line last: for each network its
parameters, Multi-Adds at --image_size, CPU seconds of all cores of the first step and, median, of
later ones, the latter also relative to the first network's.
"""

import contextlib
import json
import os
import statistics
import sys
import time

from absl import app, flags


def main(argv):
    del argv
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    import tensorflow as tf

    from adl_tf.models.counting import count_multi_adds, count_parameters
    from adl_tf.models.registry import build_network
    from adl_tf.training.devices import configure_runtime, graphs_as_written, precision_policy
    from adl_tf.training.optimizers import training_optimizer
    from adl_tf.training.training_model import TrainingModel

    options = flags.FLAGS
    configure_runtime()
    tf.keras.utils.set_random_seed(0)
    crop, batch_size = options.crop_size, options.batch_size
    batch = {
        "image": tf.random.normal([batch_size, crop, crop, 3]),
        "label": tf.random.uniform(
            [batch_size, crop, crop], maxval=options.num_classes, dtype=tf.int32
        ),
        "position": tf.range(batch_size, dtype=tf.int64),
    }
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    image_size = tuple(map(int, options.image_size))
    results, steps = {}, {}
    for text in options.networks:
        with precision_policy("mixed_bfloat16" if "~" in text else "float32"):
            network = build_network(describe(text.rstrip("=~"), options.num_classes))
            model = TrainingModel(network)
        model.compile(training_optimizer(total_steps=1000, initial_rate=0.001))
        model.build((None, crop, crop, 3))
        steps[text] = model.make_train_function()
        start = time.process_time()
        with graphs_as_written() if "=" in text else contextlib.nullcontext():
            steps[text](batches)
        results[text] = {
            "params": count_parameters(network),
            "multi_adds": sum(count_multi_adds(network, image_size).values()),
            "first_step": round(time.process_time() - start, 1),
        }
        print(text, results[text], file=sys.stderr, flush=True)
    seconds = {text: [] for text in steps}
    for _ in range(options.repeats):
        for text, step in steps.items():
            start = time.process_time()
            with graphs_as_written() if "=" in text else contextlib.nullcontext():
                step(batches)
            seconds[text].append(time.process_time() - start)
    medians = {text: statistics.median(values) for text, values in seconds.items()}
    for text, result in results.items():
        result["seconds"] = round(medians[text], 3)
        result["ratio"] = round(medians[text] / medians[options.networks[0]], 2)
    print(json.dumps(results))


def describe(text, num_classes):
    """ "auto_deeplab:8" -> NetworkDescription."""
    from adl_tf.models.registry import DECODED, NETWORKS, NetworkDescription

    name, _, size = text.rpartition(":")
    if name in NETWORKS:
        return NetworkDescription(name, num_classes, width=float(size))
    return NetworkDescription(DECODED, num_classes, name, int(size))


if __name__ == "__main__":
    flags.DEFINE_list(
        "networks", ["auto_deeplab:8", "deeplab_v3_plus_resnet50:0.625"], "Networks, see above."
    )
    flags.DEFINE_integer("crop_size", 257, "Side of the crops.", lower_bound=1)
    flags.DEFINE_integer("batch_size", 4, "Images per step.", lower_bound=1)
    flags.DEFINE_integer("num_classes", 11, "Number of classes.", lower_bound=1)
    flags.DEFINE_list("image_size", ["360", "480"], "Image size for Multi-Adds.")
    flags.DEFINE_integer("repeats", 7, "Timed steps of each.", lower_bound=1)
    app.run(main)

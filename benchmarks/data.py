"""Speed and memory of converting and reading data sets.

Draws its own street scenes of Cityscapes' size. Prints one JSON line last:
  conversion: images per second, with 1 and 2 processes, of Cityscapes stored at full and at half
    resolution.
  reading: examples per second of the training stream at 321x321 from half-resolution records (PNG,
    JPEG, and the cache of decoded examples), of decoding the same bytes with tf.io alone, and their
    ratio.
  memory: peak megabytes of converting and of reading sets of growing size.
"""

import dataclasses
import functools
import json
import os
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from absl import app, flags
from PIL import Image

from data_prep import convert_cityscapes, convert_folder, processes
from data_prep.run import run_conversion
from data_prep.street import draw_street

_SCENES = 12  # Different ones; larger sets repeat them under other names.
_CROP = (321, 321)


def main(argv):
    del argv
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = flags.FLAGS
    with tempfile.TemporaryDirectory(dir=options.work_dir) as directory:
        scenes = draw_scenes(os.path.join(directory, "scenes"), options.height, options.width)
        cityscapes = link_cityscapes(os.path.join(directory, "cityscapes"), scenes, options.images)
        result = {
            "cores": len(os.sched_getaffinity(0)),
            "image_size": [options.height, options.width],
            "conversion": measure_conversion(directory, cityscapes),
            "reading": measure_reading(directory, scenes, options.seconds),
            "memory": measure_memory(directory, scenes, map(int, options.memory_images)),
        }
    print(json.dumps(result))


def draw_scenes(directory, height, width):
    """Writes scenes at full and, as JPEG, at half resolution; returns the paths of each."""
    os.makedirs(directory)
    scenes = []
    for index in range(_SCENES):
        names = ("image.png", "label.png", "half.jpg", "half_label.png")
        paths = [os.path.join(directory, f"{index}_{name}") for name in names]
        for shrink, (image_path, label_path) in ((1, paths[:2]), (2, paths[2:])):
            image, label = draw_street(
                np.random.default_rng(index), height // shrink, width // shrink
            )
            # At this quality, as many bytes per pixel as street photographs have at 90.
            Image.fromarray(image).save(image_path, quality=95)
            Image.fromarray(label).save(label_path)
        scenes.append(paths)
    return scenes


def link_cityscapes(directory, scenes, count):
    """Lays the full scenes out as Cityscapes; 1 image in val, the rest in train."""
    for index in range(count):
        split = "val" if index == 0 else "train"
        image, label, _, _ = scenes[index % len(scenes)]
        name = f"aachen/aachen_{index:06d}_000019"
        _link(image, f"{directory}/leftImg8bit/{split}/{name}_leftImg8bit.png")
        _link(label, f"{directory}/gtFine/{split}/{name}_gtFine_labelIds.png")
    return directory


def link_folder(directory, scenes, count):
    """Lays the half-resolution scenes out as a plain folder of JPEG images."""
    for index in range(count):
        _, _, image, label = scenes[index % len(scenes)]
        _link(image, f"{directory}/images/train/{index:06d}.jpg")
        _link(label, f"{directory}/masks/train/{index:06d}.png")
    with open(os.path.join(directory, "classes.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(map(str, range(8))))
    return directory


def measure_conversion(directory, cityscapes):
    result = {}
    for kind, short_side in (("as_it_is", 0), ("half_resolution", 512)):
        for workers in (1, 2):
            plan = dataclasses.replace(convert_cityscapes.plan(cityscapes), short_side=short_side)
            output = os.path.join(directory, f"{kind}_{workers}")
            rate, _ = _alone(_convert, plan, output, workers)
            result[f"{kind}_{workers}_processes"] = round(rate, 1)
    return result


def measure_reading(directory, scenes, seconds):
    jpeg = os.path.join(directory, "jpeg")
    plan = convert_folder.plan(link_folder(jpeg + "_folder", scenes, 48))
    run_conversion(plan, jpeg)
    png = os.path.join(directory, "half_resolution_1")
    result = {}
    for name, dataset_dir, cache_dir in (
        ("png", png, None),
        ("jpeg", jpeg, None),
        ("png_cached", png, os.path.join(directory, "cache")),
    ):
        stream, decoding = _alone(_read, dataset_dir, cache_dir, seconds)
        result[name] = {
            "stream": round(stream, 1),
            "decoding_alone": round(decoding, 1),
            "ratio": round(stream / decoding, 2),
        }
    return result


def measure_memory(directory, scenes, counts):
    result = {}
    for count in counts:
        output = os.path.join(directory, f"memory_{count}")
        plan = convert_folder.plan(link_folder(output + "_folder", scenes, count))
        _, converting = _alone(_convert, plan, output, 2)
        _, reading = _alone(_read_epoch, output)
        result[count] = {"converting": round(converting), "reading": round(reading)}
    return result


def _link(target, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def _alone(function, *arguments):
    """Runs a function in a process of its own, so that its memory is measured alone."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _peak_megabytes():
    peaks = (
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return max(peaks) / 1024


def _convert(plan, output, workers):
    import tensorflow  # noqa: F401  So that its start-up is not measured.

    start = time.perf_counter()
    write = functools.partial(processes.write, num_workers=workers)
    summary = run_conversion(plan, output, write=write)
    seconds = time.perf_counter() - start
    return sum(summary["examples"].values()) / seconds, _peak_megabytes()


def _read(dataset_dir, cache_dir, seconds):
    """Examples per second of the training stream and of decoding alone, taken in turns."""
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    import tensorflow as tf

    from adl_tf.data.reader import RecordReader
    from adl_tf.data.streams import train_stream

    reader = RecordReader(dataset_dir, "train", cache_dir=cache_dir)
    batch_size = 2
    stream = iter(train_stream(reader, batch_size=batch_size, crop_size=_CROP, seed=0))

    def decode(image, label):
        return tf.io.decode_image(image, channels=3), tf.io.decode_png(label, channels=1)

    encoded = tf.data.Dataset.from_tensor_slices(_encoded_pairs(dataset_dir, reader)).repeat()
    decoding = encoded.map(decode, tf.data.AUTOTUNE, deterministic=False)
    decoding = iter(decoding.prefetch(tf.data.AUTOTUNE))

    rates = [], []
    for _ in range(6):
        for kind, iterator in enumerate((stream, decoding)):
            end, count = time.perf_counter() + seconds, 0
            start = time.perf_counter()
            while time.perf_counter() < end:
                next(iterator)
                count += 1
            rates[kind].append(count / (time.perf_counter() - start))
    # The first round warms up and tunes itself.
    return batch_size * statistics.median(rates[0][1:]), statistics.median(rates[1][1:])


def _encoded_pairs(dataset_dir, reader):
    import tensorflow as tf

    images, labels = [], []
    for shard in reader.description.splits["train"].shards:
        for record in tf.data.TFRecordDataset(os.path.join(dataset_dir, shard.file)):
            features = tf.train.Example.FromString(record.numpy()).features.feature
            images.append(features["image/encoded"].bytes_list.value[0])
            labels.append(features["image/segmentation/class/encoded"].bytes_list.value[0])
    return images, labels


def _read_epoch(dataset_dir):
    """Examples per second and peak memory of one epoch."""
    from adl_tf.data.reader import RecordReader
    from adl_tf.data.streams import train_stream

    reader = RecordReader(dataset_dir, "train")
    start = time.perf_counter()
    for _ in train_stream(reader, batch_size=2, crop_size=_CROP, seed=0).take(
        reader.num_examples // 2
    ):
        pass
    return reader.num_examples / (time.perf_counter() - start), _peak_megabytes()


if __name__ == "__main__":
    flags.DEFINE_integer("images", 49, "Images converted per measurement.", lower_bound=2)
    flags.DEFINE_integer("height", 1024, "Height of the full images.", lower_bound=64)
    flags.DEFINE_integer("width", 2048, "Width of the full images.", lower_bound=64)
    flags.DEFINE_float("seconds", 3, "Length of each of 6 rounds of reading.", lower_bound=0.1)
    flags.DEFINE_list("memory_images", ["200", "2000"], "Sizes of the sets of the memory test.")
    flags.DEFINE_string("work_dir", None, "Directory of scratch files [the system's].")
    app.run(main)

"""Speed of an exported network, next to alternatives.

python benchmarks/inference.py [--model_dir=DIR --images=FOLDER] [--xla]
    [--formats=onnx,openvino,tflite] [--peer=CHECKOUT --peer_python=PYTHON]

Times images to labels at 513 x 513 and 1025 x 2049, batch 1 and 4, each configuration in a
process of its own in which all contenders take turns:
  float32, bfloat16   the export, loaded into a session as a server does: of the paper's S with
                      random weights, or of the network of --model_dir
  open                the export in float32 of any batch and size, which `auto` makes
  xla                 the export's compiled signature
  onnx, openvino, tflite, openvino_int8, tflite_int8
                      the files beside the export, at batch 1, those of 8-bit integers quantized
                      by the images; openvino_bfloat16 is the file of floats, computed in bfloat16
  keras               the network before the export, as a tf.function
  resnet50, resnet101 keras-cv's DeepLabV3Plus with a ResNet, frozen
  peer                the reference network of the paper's authors, frozen: a checkout of
                      github.com/tensorflow/models, with a Python that has tensorflow and tf_slim
  peak                a large float32 matrix product, for the speed of the machine
Prints one JSON line last; ratios are contender / float32 export, above 1 where the export is
faster. `of_peak` is the share of the peak that the network's multiplications reach, `labels_equal`
the share of pixels labelled as by the Keras model, on the images of --images (noise without them;
it means something for a trained network on images of its kind only).
"""

import collections
import glob
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PEAK_SIDE = 4096
CLASSES = 19
ASPP_RATES = (12, 24, 36)  # At stride 8.
COMPARED = 8  # Images whose labels are compared, and that quantize.


def build_peer(checkout, height, width, batch, output):
    """Writes the frozen graph of the peer: images:0 float32 in 0..255, labels:0."""
    import tensorflow.compat.v1 as tf
    from peer import import_peer

    common, model = import_peer(checkout)
    options = common.ModelOptions(
        outputs_to_num_classes={common.OUTPUT_TYPE: CLASSES},
        crop_size=[height, width],
        atrous_rates=list(ASPP_RATES),
        output_stride=8,
    )
    images = tf.placeholder(tf.float32, [batch, height, width, 3], name="images")
    predictions = model.predict_labels(images, options)[common.OUTPUT_TYPE]
    tf.identity(predictions, name="labels")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        frozen = tf.graph_util.convert_variables_to_constants(
            session, session.graph_def, ["labels"]
        )
    with open(output, "wb") as file:
        file.write(frozen.SerializeToString())


def count_flops(graph):
    """Twice the multiplications of a graph with static shapes."""
    multiplications = 0
    for operation in graph.get_operations():
        if operation.type in ("Conv2D", "DepthwiseConv2dNative"):
            kernel = operation.inputs[1].shape
            taps = kernel[:3] if operation.type == "Conv2D" else kernel[:2]
            multiplications += math.prod(operation.outputs[0].shape) * math.prod(taps)
    return 2 * multiplications


def read_batches(folder, height, width, batch):
    """uint8 [N, batch, height, width, 3]: COMPARED images evenly from a folder, or noise, N = 1."""
    import numpy as np
    from PIL import Image

    if not folder:
        return np.random.default_rng(0).integers(0, 256, (1, batch, height, width, 3), np.uint8)
    paths = sorted(glob.glob(os.path.join(folder, "*")))
    chosen = np.linspace(0, len(paths) - 1, COMPARED).astype(int)
    images = [
        np.asarray(Image.open(paths[index]).convert("RGB").resize((width, height)))
        for index in chosen
    ]
    return np.reshape(images, (-1, batch, height, width, 3))


def serve_signature(export_dir, key):
    """Function from images to labels that runs a signature in a session, as a server does."""
    import tensorflow.compat.v1 as tf

    session = tf.Session(graph=tf.Graph())
    with session.graph.as_default():
        loaded = tf.saved_model.loader.load(session, ["serve"], export_dir)
    signature = loaded.signature_def[key]
    feed, fetch = signature.inputs["images"].name, signature.outputs["labels"].name
    return lambda images, *options: session.run(fetch, {feed: images}, *options)


def load_peer(path):
    """Function from images to labels that runs the peer's frozen graph; its flops."""
    import tensorflow.compat.v1 as tf

    with tf.Graph().as_default() as graph, open(path, "rb") as file:
        tf.graph_util.import_graph_def(tf.GraphDef.FromString(file.read()), name="")
        session, flops = tf.Session(graph=graph), count_flops(graph)
    return lambda images: session.run("labels:0", {"images:0": images}), flops


def load_contenders(network, model_dir, shape, compiled):
    """Functions from images [B, H, W, 3] of the given shape to labels, by name."""
    import tensorflow as tf

    from adl_tf.data.normalization import normalize
    from adl_tf.models.registry import NetworkDescription, build_network
    from adl_tf.serving.body import Body
    from adl_tf.serving.edge_files import labels_of
    from adl_tf.serving.export import export_network

    runs, batch, size = {}, shape[0], shape[1:3]
    with tempfile.TemporaryDirectory() as folder:
        for dtype in ("float32", "bfloat16"):
            result = export_network(
                model_dir, folder, batch_size=batch, image_size=size, dtype=dtype
            )
            runs[dtype] = serve_signature(result["export_dir"], "serving_tensor")
            if compiled and dtype == "float32":
                runs["xla"] = serve_signature(result["export_dir"], "serving_tensor_xla")
        result = export_network(model_dir, folder)
        runs["open"] = serve_signature(result["export_dir"], "serving_tensor")
    keras = tf.function(
        lambda x: tf.argmax(network(normalize(x), training=False), -1, tf.int32),
        input_signature=[tf.TensorSpec(shape, tf.uint8)],
    )
    runs["keras"] = lambda images: keras(images).numpy()
    for name in ("resnet50", "resnet101"):
        baseline = build_network(NetworkDescription(f"deeplab_v3_plus_{name}", CLASSES))
        runs[name] = run_labels(labels_of(Body(baseline, batch, size)))
    return runs


def run_labels(function):
    """Function from images to labels in numpy."""
    import tensorflow as tf

    return lambda images: function(tf.constant(images))["labels"].numpy()


def load_files(body, formats, typical):
    """Functions from images [1, H, W, 3] to labels by the files of an export, by name."""
    from adl_tf.serving.edge_files import FORMATS, labels_of, write_edge
    from adl_tf.serving.run_edge import open_file

    runs, function = {}, labels_of(body)
    with tempfile.TemporaryDirectory() as folder:
        for name in formats:
            path = write_edge(name, body, function, folder)
            runs[name] = open_file(path)
            if name == "openvino":
                runs["openvino_bfloat16"] = open_file(path, "bf16")
            if FORMATS[name].int8_file:
                path = write_edge(name, body, function, folder, typical)
                runs[f"{name}_int8"] = open_file(path)
    return runs


def time_in_turns(runs, images, repeats):
    """Median seconds of each contender."""
    for run in runs.values():  # The first run of a session prepares its graph.
        run(images)
    seconds = collections.defaultdict(list)
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run(images)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times) for name, times in seconds.items()}


def measure(model_dir, height, width, batch, repeats, compiled, peer, folder, formats):
    """Times all contenders in turn; prints a row."""
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    import numpy as np
    import tensorflow as tf

    from adl_tf.models.weights import load_network
    from adl_tf.serving.body import Body

    batches = read_batches(folder, height, width, batch)
    shape = batches.shape[1:]
    row = {"size": [height, width], "batch": batch}
    network = load_network(model_dir)
    body = Body(network, batch, (height, width))
    function = tf.function(body, autograph=False)
    flops = count_flops(function.get_concrete_function(tf.TensorSpec(shape)).graph)
    runs = load_contenders(network, model_dir, shape, compiled)
    if formats and batch == 1:
        runs.update(load_files(body, formats.split(","), np.concatenate(batches)))
    if peer:
        runs["peer"], peer_flops = load_peer(peer)
        row["peer_gflop"] = round(peer_flops / 1e9, 1)
    matrix = tf.random.normal([PEAK_SIDE, PEAK_SIDE])
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)))
    runs["peak"] = lambda images: product().numpy()

    labels_equal = collections.defaultdict(list)
    for images in batches:
        expected = runs["keras"](images)
        for name in set(runs) - {"keras", "resnet50", "resnet101", "peer", "peak"}:
            labels_equal[name].append(float(np.mean(runs[name](images) == expected)))
    latency = time_in_turns(runs, batches[0], repeats)
    peak = 2 * PEAK_SIDE**3 / latency.pop("peak")
    row["gflop"] = round(flops / 1e9, 1)
    row["peak_gflops"] = round(peak / 1e9, 1)
    row["latency"] = {name: round(median, 4) for name, median in latency.items()}
    row["images_per_second"] = {n: round(batch / median, 3) for n, median in latency.items()}
    row["of_peak"] = round(flops / latency["float32"] / peak, 3)
    row["ratios"] = {
        name: round(median / latency["float32"], 2)
        for name, median in latency.items()
        if name != "float32"
    }
    row["bfloat16_speedup"] = round(latency["float32"] / latency["bfloat16"], 2)
    row["labels_equal"] = {name: round(np.mean(each), 5) for name, each in labels_equal.items()}
    row["profile"] = {name: profile(runs[name], batches[0]) for name in ("float32", "bfloat16")}
    print(json.dumps(row))


def profile(run, images, most=8):
    """Share of the kernels' time by kind of kernel, the largest first."""
    import tensorflow.compat.v1 as v1

    details = v1.RunMetadata()
    run(images, v1.RunOptions(trace_level=v1.RunOptions.FULL_TRACE), details)
    times = collections.Counter()
    for device in details.step_stats.dev_stats:
        for node in device.node_stats:
            kind = node.timeline_label.partition(" = ")[2].partition("(")[0] or node.node_name
            times[kind] += node.op_end_rel_micros - node.op_start_rel_micros
    total = sum(times.values())
    return {kind: round(time / total, 3) for kind, time in times.most_common(most)}


def random_network(model_dir):
    """Writes the paper's S with random weights."""
    from adl_tf.models.registry import NetworkDescription, build_network, write_network_description
    from adl_tf.models.weights import save_weights
    from adl_tf.space.genotype import PRESETS

    description = NetworkDescription("decoded", CLASSES, PRESETS["auto_deeplab"], 20)
    write_network_description(description, model_dir)
    save_weights(build_network(description), model_dir, "best")


def run_process(python, *arguments):
    output = subprocess.run(
        [python, os.path.abspath(__file__), *map(str, arguments)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return output.splitlines()[-1] if output else ""


def main(argv):
    del argv
    from absl import flags

    options = flags.FLAGS
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model_dir = options.model_dir
        if not model_dir:
            model_dir = os.path.join(folder, "network")
            os.makedirs(model_dir)
            run_process(sys.executable, "random", model_dir)
        for size in options.sizes:
            height, width = size.split("x")
            for batch in options.batches:
                peer = os.path.join(folder, "peer.pb") if options.peer else ""
                if peer:
                    checkout = os.path.abspath(options.peer)
                    run_process(options.peer_python, "peer", checkout, height, width, batch, peer)
                arguments = (model_dir, height, width, batch, options.repeats, int(options.xla))
                arguments += (peer, options.images, ",".join(options.formats))
                row = json.loads(run_process(sys.executable, "measure", *arguments))
                print(row, file=sys.stderr, flush=True)
                rows.append(row)
    print(json.dumps({"cores": len(os.sched_getaffinity(0)), "rows": rows}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["random"]:
        random_network(sys.argv[2])
    elif sys.argv[1:2] == ["peer"]:
        build_peer(sys.argv[2], *map(int, sys.argv[3:6]), sys.argv[6])
    elif sys.argv[1:2] == ["measure"]:
        measure(sys.argv[2], *map(int, sys.argv[3:8]), *sys.argv[8:])
    else:
        from absl import app, flags

        flags.DEFINE_string("model_dir", None, "A trained network [S with random weights].")
        flags.DEFINE_string("images", "", "Folder of images to compare labels on [noise].")
        flags.DEFINE_list("sizes", ["513x513", "1025x2049"], "Heights and widths.")
        flags.DEFINE_list("batches", ["1", "4"], "Batch sizes.")
        flags.DEFINE_integer("repeats", 7, "Timed runs of each contender.")
        flags.DEFINE_list("formats", [], "Files beside the export to time: onnx, openvino, tflite.")
        flags.DEFINE_bool("xla", False, "Time the compiled signature too.")
        flags.DEFINE_string("peer", None, "Checkout of tensorflow/models.")
        flags.DEFINE_string("peer_python", sys.executable, "A Python with tf_slim.")
        app.run(main)

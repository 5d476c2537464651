"""Whether our networks compute what the reference network of the paper's authors computes.

python benchmarks/reference_function.py --peer=CHECKOUT [--peer_python=PYTHON]
    [--golden=tests/models/reference_logits.npz]

Runs both with the same variables, which follow from a fixed rule, and compares the logits at
several image sizes. CHECKOUT is one of github.com/tensorflow/models, PYTHON has tensorflow and
tf_slim. Prints a row per network and size, JSON last: the largest and the mean difference as a
share of the logits' rms, the share of pixels with another label, and the first layer that
differs by more than 1e-3 of its rms (none, if all is well).

The networks are S and M of the paper and two random genotypes with pooling and skip. Their
paths start at stride 4 three times, as the reference's decoder reads the third cell, and never
come back to it, since on the way up the reference makes 2n - 1 pixels of n and so misses the
size of an earlier map at some image sizes (docs/training.md).

With --golden the logits of a tiny network are written to a file that a test compares with.
"""

import json
import os
import subprocess
import sys
import tempfile
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# For the peer too: without it, its atrous kernels take minutes on some processors.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

SIZES = ((129, 161), (225, 289), (321, 321), (513, 513), (133, 168), (198, 231))
CLASSES = 19
TOLERANCE = 1e-3
# The tiny network of the golden test.
TINY_SIZE, TINY_CLASSES, TINY_FILTERS = (37, 40), 2, 4
TINY = {
    "path": [0, 0, 0, 1, 2, 1],
    "cell": [
        [[1, "atrous_conv_5x5"], [0, "sep_conv_3x3"]],
        [[1, "max_pool_3x3"], [0, "atrous_conv_3x3"]],
        [[3, "avg_pool_3x3"], [1, "skip_connect"]],
        [[0, "avg_pool_3x3"], [2, "sep_conv_5x5"]],
        [[1, "sep_conv_5x5"], [5, "skip_connect"]],
    ],
}
_PEER_OPS = {
    "skip_connect": "none",
    "max_pool_3x3": "max_pool_3x3",
    "avg_pool_3x3": "avg_pool_3x3",
    "sep_conv_3x3": "separable_3x3_2",
    "sep_conv_5x5": "separable_5x5_2",
    "atrous_conv_3x3": "atrous_3x3",
    "atrous_conv_5x5": "atrous_5x5",
}


def make_images(size):
    """float32 [2, H, W, 3] in whole numbers 0..255: smooth, with noise on top."""
    import numpy as np

    random = np.random.RandomState(7)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    waves = [
        np.sin(y / random.uniform(5, 40) + x / random.uniform(5, 40) + random.uniform(0, 6))
        for _ in range(6)
    ]
    images = 127 + 80 * np.stack(waves, -1) + random.normal(0, 15, (*size, 6))
    images = images.reshape(*size, 2, 3).transpose(2, 0, 1, 3)
    return np.clip(np.round(images), 0, 255).astype(np.float32)


def set_variables(network, images):
    """Gives every variable of a network a value that follows from its name by a fixed rule.

    Kernels are normal with variance 2 / inputs, scales and offsets near 1; moving
    statistics are those of the images, layer by layer, so that activations stay near 1.
    """
    import numpy as np
    import tensorflow as tf

    for variable in network.trainable_variables:
        # RandomState gives the same numbers in every version of numpy.
        random = np.random.RandomState(zlib.crc32(variable.name.encode()))
        shape = tuple(variable.shape)
        if len(shape) == 4:
            inputs = np.prod(shape[:2]) * (1 if shape[3] == 1 else shape[2])
            value = random.normal(0, np.sqrt(2 / inputs), shape)
        else:
            # An offset of 1 keeps most of what a relu sees: with 0, rounding errors would grow by
            # half from layer to layer, to 3e-3 of the logits between two kinds of kernels.
            value = (0.0 if "bias" in variable.name else 1.0) + random.uniform(-0.2, 0.2, shape)
        variable.assign(value.astype(np.float32))
    norms = [
        layer
        for layer in network.submodules
        if isinstance(layer, tf.keras.layers.BatchNormalization)
    ]
    for norm in norms:
        norm.momentum = 0.0
    network(images / 127.5 - 1, training=True)
    for norm in norms:
        # The pooled pixels of two images hardly vary; dividing by that would magnify noise.
        variance = norm.moving_variance.numpy()
        norm.moving_variance.assign(np.maximum(variance, 0.1 * max(variance.mean(), 1.0)))


def layer_outputs(network):
    """A model with the outputs of stem, cells, ASPP and the logits, and their names."""
    import tensorflow as tf

    cells = [layer for layer in network.layers if layer.name.startswith("cell_")]
    outputs = {"stem": network.get_layer("stem").output[1]}
    outputs.update({f"cell {index + 1}": cell.output for index, cell in enumerate(cells)})
    outputs["ASPP"] = network.get_layer("aspp").output
    outputs["logits"] = network.output
    return tf.keras.Model(network.input, outputs)


def peer_variables(network):
    """Values of a `DecodedNetwork` by the names that they have in the peer."""
    values = {}

    def add(scope, kernel, norm_scope, norm):
        values[f"{scope}/weights"] = kernel
        for name, variable in (
            ("gamma", norm.gamma),
            ("beta", norm.beta),
            ("moving_mean", norm.moving_mean),
            ("moving_variance", norm.moving_variance),
        ):
            values[f"{norm_scope}/{name}"] = variable

    for index, layer in enumerate(network.get_layer("stem").convolutions):
        add(f"hnasnet/conv{index}", layer.kernel, f"hnasnet/conv{index}_bn", layer.norm)
    cells = [layer for layer in network.layers if layer.name.startswith("cell_")]
    for number, cell in enumerate(cells):
        base = f"hnasnet/cell_{number}"
        inputs = ((f"{base}/1x1", f"{base}/beginning_bn"), (f"{base}/prev_1x1", f"{base}/prev_bn"))
        for (scope, norm_scope), layer in zip(inputs, cell.preprocess):
            add(scope, layer.kernel, norm_scope, layer.norm)
        for place, op in enumerate(cell.ops):
            scope = f"{base}/comb_iter_{place // 2}/{('left', 'right')[place % 2]}"
            side = op.op.kernel
            for index, layer in enumerate(op.convolutions, 1):
                if layer.separable:
                    name = f"{scope}/separable_{side}x{side}_{index}"
                    values[f"{name}/depthwise_weights"] = layer.depthwise_kernel
                    values[f"{name}/pointwise_weights"] = layer.kernel
                    norm_scope = f"{scope}/bn_sep_{side}x{side}_{index}"
                    add(name, layer.kernel, norm_scope, layer.norm)
                    del values[f"{name}/weights"]
                elif op.op.kind == "atrous":
                    name = f"{side}x{side}"
                    add(
                        f"{scope}/atrous_{name}", layer.kernel, f"{scope}/bn_atr_{name}", layer.norm
                    )
                else:
                    add(f"{scope}/1x1", layer.kernel, f"{scope}/bn_1", layer.norm)
    aspp, decoder = network.get_layer("aspp"), network.get_layer("decoder")
    heads = {"image_pooling": aspp.pooled, "concat_projection": aspp.projection}
    heads.update({f"aspp{index}": branch for index, branch in enumerate(aspp.branches)})
    heads["decoder/feature_projection0"] = decoder.projection
    for index, layer in enumerate(decoder.convolutions, 1):
        heads[f"decoder/decoder_conv0/decoder_conv0_{index}"] = layer
    for scope, layer in heads.items():
        add(scope, layer.kernel, f"{scope}/BatchNorm", layer.norm)
    values["logits/semantic/weights"] = decoder.classifier.kernel
    values["logits/semantic/biases"] = decoder.classifier.bias
    return {name: variable.numpy() for name, variable in values.items()}


def run_ours(genotype, filters, classes, size):
    """Outputs by layer, and the variables by the peer's names."""
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    import numpy as np
    import tensorflow as tf

    from adl_tf.models.auto_deeplab import DecodedNetwork
    from adl_tf.space.genotype import Genotype

    tf.keras.backend.clear_session()
    network = DecodedNetwork(Genotype(**genotype), filters, classes)
    images = make_images(size)
    set_variables(network, images)
    outputs = layer_outputs(network)(images / 127.5 - 1, training=False)
    return {name: np.asarray(x) for name, x in outputs.items()}, peer_variables(network)


def run_peer(checkout, job_file):
    """Writes the peer's outputs by layer; runs in the peer's Python."""
    import numpy as np
    import tensorflow.compat.v1 as tf
    from peer import import_peer

    with open(job_file, encoding="utf-8") as file:
        job = json.load(file)
    common, model = import_peer(checkout, job["filters"])
    from deeplab.core import feature_extractor, nas_cell, nas_network

    outputs = {}

    def network(images, num_classes, is_training=True, scope="hnasnet", **unused):
        """The peer's own function of that name, for any genotype."""
        path, cell = job["genotype"]["path"], job["genotype"]["cell"]
        batch_norm = nas_network.slim.batch_norm
        layer = nas_cell.NASBaseCell(
            job["filters"],
            [_PEER_OPS[op] for block in cell for _, op in block],
            [1, 1] + [0] * len(cell),
            [source for block in cell for source, _ in block],
            1.0,
            len(path),
            1,
            batch_norm_fn=batch_norm,
        )
        with nas_network.arg_scope([batch_norm], is_training=is_training):
            net, points = nas_network._build_nas_base(
                images, layer, path, num_classes, nas_network.config(job["filters"]), scope=scope
            )
        outputs["stem"] = points["Stem"]
        for index in range(len(path)):
            outputs[f"cell {index + 1}"] = points[f"Cell_{index}"]
        return net, points

    feature_extractor.networks_map["nas_hnasnet"] = network
    extract = model.extract_features

    def extract_features(*arguments, **options):
        outputs["ASPP"], points = extract(*arguments, **options)
        return outputs["ASPP"], points

    model.extract_features = extract_features
    stride = 4 * 2 ** job["genotype"]["path"][-1]
    options = common.ModelOptions(
        outputs_to_num_classes={common.OUTPUT_TYPE: job["classes"]},
        crop_size=job["size"],
        atrous_rates=[times * 96 // stride for times in (1, 2, 3)],
        output_stride=stride,
    )
    images = make_images(job["size"])
    placeholder = tf.placeholder(tf.float32, images.shape)
    logits = model.multi_scale_logits(placeholder, options, image_pyramid=None)
    logits = logits[common.OUTPUT_TYPE][model.MERGED_LOGITS_SCOPE]
    outputs["logits"] = tf.image.resize_bilinear(logits, job["size"], align_corners=True)
    values = np.load(job["variables"])
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    assert set(variables) == set(values), set(variables) ^ set(values)
    with tf.Session() as session:
        # All at once: the session prepares the whole graph for each call.
        initializers = {name: variable.initializer for name, variable in variables.items()}
        feed = {operation.inputs[1]: values[name] for name, operation in initializers.items()}
        session.run(list(initializers.values()), feed)
        results = session.run(outputs, {placeholder: images})
    np.savez(job["output"], **results)


def compare(ours, theirs):
    """Differences of the logits, and the first layer that differs."""
    import numpy as np

    def difference(name):
        rms = np.sqrt(np.mean(np.square(theirs[name], dtype=np.float64)))
        return np.abs(ours[name] - theirs[name]) / rms

    first = next((name for name in ours if difference(name).max() > TOLERANCE), None)
    logits = difference("logits")
    labels = np.mean(ours["logits"].argmax(-1) != theirs["logits"].argmax(-1))
    return {
        "max": float(logits.max()),
        "mean": float(logits.mean()),
        "other_labels": float(labels),
        "first_layer": first,
    }


def run_both(options, genotype, filters, classes, size):
    """Returns (our outputs, the peer's) by layer."""
    import numpy as np

    ours, variables = run_ours(genotype, filters, classes, size)
    with tempfile.TemporaryDirectory() as folder:
        job = {"genotype": genotype, "filters": filters, "classes": classes, "size": size}
        for name in ("variables", "output"):
            job[name] = os.path.join(folder, f"{name}.npz")
        np.savez(job["variables"], **variables)
        job_file = os.path.join(folder, "job.json")
        with open(job_file, "w", encoding="utf-8") as file:
            json.dump(job, file)
        checkout = os.path.abspath(options.peer)
        program = [options.peer_python, os.path.abspath(__file__), "peer", checkout, job_file]
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
        with np.load(job["output"]) as results:
            return ours, dict(results)


def random_genotypes(count):
    """Draws genotypes with pooling and skip, on paths that leave stride 4 after three cells."""
    import numpy as np

    from adl_tf.space.sampling import sample_genotype
    from adl_tf.space.search_space import SearchSpace

    random = np.random.default_rng(0)
    found = []
    while len(found) < count:
        genotype = sample_genotype(SearchSpace(), random)
        ops = {op for block in genotype.cell for _, op in block}
        pooled = {"max_pool_3x3", "avg_pool_3x3", "skip_connect"} <= ops
        if genotype.path[:3] == (0, 0, 0) and 0 not in genotype.path[3:] and pooled:
            found.append(genotype)
    return found


def main(argv):
    del argv
    import numpy as np
    from absl import flags

    from adl_tf.space.genotype import PRESETS

    options = flags.FLAGS
    if options.golden:
        _, theirs = run_both(options, TINY, TINY_FILTERS, TINY_CLASSES, TINY_SIZE)
        np.savez_compressed(options.golden, logits=theirs["logits"][0])
        print(json.dumps({"golden": options.golden}))
        return
    paper = PRESETS["auto_deeplab"].to_dict()
    networks = [("S", paper, 20), ("M", paper, 32)]
    networks += [
        (f"random {index + 1}", genotype.to_dict(), 8)
        for index, genotype in enumerate(random_genotypes(2))
    ]
    rows = []
    for name, genotype, filters in networks:
        for size in SIZES:
            row = {"network": name, "path": genotype["path"], "size": list(size)}
            row.update(compare(*run_both(options, genotype, filters, CLASSES, size)))
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    print(json.dumps({"rows": rows, "met": all(row["max"] <= TOLERANCE for row in rows)}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["peer"]:
        run_peer(*sys.argv[2:])
    else:
        from absl import app, flags

        flags.DEFINE_string("peer", None, "Checkout of tensorflow/models.", required=True)
        flags.DEFINE_string("peer_python", sys.executable, "A Python with tf_slim.")
        flags.DEFINE_string("golden", None, "Only write the logits of a tiny network here.")
        app.run(main)

"""Time of a training step, next to the same network in PyTorch.

python benchmarks/torch_training.py --torch_python=PYTHON [--genotype=auto_deeplab] \
    [--filters=8,20] [--crops=129,257]

The genotype's network is written a second time in PyTorch, below, and gets our weights. Its logits
and its losses over the first steps must be ours. Then the two take turns at steps of SGD with
momentum on one random batch, each in a process of its own on all cores; PyTorch with both orders
of its axes. PYTHON has torch and numpy. Prints one JSON line last; ratios are PyTorch / ours, above
1 where ours is faster: to PyTorch's default order, and to the faster of the two.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

BATCH, CLASSES, RATE, MOMENTUM, DECAY = 4, 11, 0.05, 0.9, 4e-5
COMPARED_STEPS = 3
# Of the largest logit, and of a loss. With untrained batch norms rounding alone moves logits of
# either network by 0.003 of those in float64.
LOGITS_TOLERANCE, LOSS_TOLERANCE = 1e-2, 1e-3
ORDERS = ("channels_first", "channels_last")


class TorchNetwork:
    """A genotype's network with the weights of a Keras one: a function of its parameters."""

    def __init__(self, weights, genotype, rates, order):
        import torch

        self.path, self.cell, self.rates = genotype["path"], genotype["cell"], rates
        self.format = getattr(torch, order.replace("channels_first", "contiguous_format"))
        self.weights = {name: self._tensor(name, value) for name, value in weights.items()}
        self.parameters = [
            weight.requires_grad_()
            for name, weight in self.weights.items()
            if "/moving_" not in name
        ]

    def _tensor(self, name, value):
        """Kernels [k, k, C, K] as [K, C, k, k], depthwise ones [k, k, C, 1] as [C, 1, k, k]."""
        import torch

        tensor = torch.tensor(value)
        if tensor.dim() == 4:
            order = (2, 3, 0, 1) if "depthwise" in name else (3, 2, 0, 1)
            tensor = tensor.permute(order).contiguous(memory_format=self.format)
        return tensor

    def conv_norm(self, x, name, stride=1, rate=1, relu="before", epsilon=1e-3):
        from torch.nn import functional

        if relu == "before":
            x = x.relu()
        depthwise = self.weights.get(f"{name}/depthwise_kernel")
        if depthwise is not None:
            margin = depthwise.shape[-1] // 2
            x = functional.conv2d(x, depthwise, None, stride, margin, groups=x.shape[1])
            stride = 1
        kernel = self.weights[f"{name}/kernel"]
        margin = kernel.shape[-1] // 2 * rate
        x = functional.conv2d(x, kernel, None, stride, margin, rate)
        names = ("moving_mean", "moving_variance", "gamma", "beta")
        norm = [self.weights[f"{name}/norm/{each}"] for each in names]
        x = functional.batch_norm(x, *norm, training=True, momentum=0.01, eps=epsilon)
        return x.relu() if relu == "after" else x

    def op(self, x, name, op, stride):
        from torch.nn import functional

        if op.startswith("sep_conv"):
            x = self.conv_norm(x, f"{name}/separable_0", stride)
            return self.conv_norm(x, f"{name}/separable_1")
        if op.startswith("atrous"):
            x = x.relu()
            if stride == 2:
                x = resize(x, [-(-side // 2) for side in x.shape[2:]])
            return self.conv_norm(x, f"{name}/atrous", rate=2 if stride == 1 else 1, relu=None)
        if op == "max_pool_3x3":
            return functional.max_pool2d(x, 3, stride, 1)
        if op == "avg_pool_3x3":
            return functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False)
        return self.conv_norm(x, f"{name}/reduction", 2) if stride == 2 else x

    def cell_layer(self, name, inputs, size, move):
        previous, before_previous = inputs
        if move < 0:
            previous = resize(previous, size)
        before_previous = resize(before_previous, previous.shape[2:])
        states = [
            self.conv_norm(x, f"{name}/input_{index}")
            for index, x in enumerate((previous, before_previous))
        ]
        for index, block in enumerate(self.cell):
            outputs = [
                self.op(
                    states[source],
                    f"{name}/block_{index}_{side}_{op}",
                    op,
                    2 if move > 0 and source < 2 else 1,
                )
                for side, (source, op) in zip("ab", block)
            ]
            states.append(sum(outputs))
        return concat(states[2:])

    def __call__(self, images):
        def head(x, name, **kwargs):
            return self.conv_norm(x, name, relu="after", epsilon=1e-5, **kwargs)

        before = self.conv_norm(images, "stem/convolution_1", 2, relu=None)
        before = self.conv_norm(before, "stem/convolution_2")
        x = self.conv_norm(before, "stem/convolution_3", 2)
        sizes, last = {}, self.path[0]
        for index, level in enumerate(self.path):
            name = f"cell_{index + 1}_stride_{4 * 2**level}"
            output = self.cell_layer(name, (x, before), sizes.get(level), level - last)
            before, x, last = x, output, level
            sizes.setdefault(level, output.shape[2:])
            if level == 0 and index < 3:
                fine = output
        x = x.relu()
        pooled = head(x.mean([2, 3], keepdim=True), "aspp/pooled").expand(-1, -1, *x.shape[2:])
        branches = [head(x, f"aspp/rate_{rate}", rate=rate) for rate in self.rates]
        x = head(concat([pooled, head(x, "aspp/pointwise"), *branches]), "aspp/projection")
        fine = head(fine, "decoder/low_level")
        x = concat([resize(x, fine.shape[2:]), fine])
        x = head(head(x, "decoder/refine_0"), "decoder/refine_1")
        from torch.nn import functional

        classifier = [self.weights[f"decoder/classifier/{name}"] for name in ("kernel", "bias")]
        return resize(functional.conv2d(x, *classifier), images.shape[2:])


def concat(features):
    import torch

    return torch.cat(features, 1)


def resize(x, size):
    from torch.nn import functional

    if tuple(x.shape[2:]) == tuple(size):
        return x
    return functional.interpolate(x, tuple(size), mode="bilinear", align_corners=True)


def serve_torch(path, order):
    """Answers each line of stdin with a step: its loss and its seconds; first with the logits."""
    import numpy as np
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with np.load(path, allow_pickle=False) as arrays:
        arrays = dict(arrays)
    images, labels = (torch.tensor(arrays.pop(name)) for name in ("images", "labels"))
    description = json.loads(str(arrays.pop("description")))
    network = TorchNetwork(arrays, **description, order=order)
    images = images.permute(0, 3, 1, 2).contiguous(memory_format=network.format)
    vectors = [p for p in network.parameters if p.dim() == 1]
    kernels = [p for p in network.parameters if p.dim() > 1]
    optimizer = torch.optim.SGD(
        [{"params": kernels, "weight_decay": DECAY}, {"params": vectors}], RATE, MOMENTUM
    )
    with torch.no_grad():
        np.save(path + ".npy", network(images).permute(0, 2, 3, 1).numpy())
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(images), labels.long())
        loss.backward()
        optimizer.step()
        print(json.dumps([loss.item(), time.perf_counter() - start]), flush=True)


class Torch:
    """A process that steps when it is told to."""

    def __init__(self, path, order):
        from absl import flags

        self._process = subprocess.Popen(
            [flags.FLAGS.torch_python, os.path.abspath(__file__), "torch", path, order],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._process.stdout.readline()

    def step(self):
        """(loss, seconds)."""
        print(file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def compare(genotype, filters, crop, repeats):
    """Medians of a step, in seconds, of ours and of PyTorch's; the same network is checked."""
    import numpy as np
    import tensorflow as tf

    from adl_tf.models.auto_deeplab import DecodedNetwork
    from adl_tf.space.search_space import aspp_rates
    from adl_tf.training.devices import graphs_as_written
    from adl_tf.training.optimizers import training_optimizer
    from adl_tf.training.training_model import TrainingModel

    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(0)
    network = DecodedNetwork(genotype, filters, CLASSES)
    model = TrainingModel(network, weight_decay=DECAY)
    model.compile(training_optimizer(1, RATE, power=0.0, momentum=MOMENTUM))
    model.build((None, crop, crop, 3))
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (BATCH, crop, crop, 3)).astype(np.float32)
    labels = random.integers(0, CLASSES, (BATCH, crop, crop)).astype(np.int32)
    genotype = network.backbone.genotype
    description = {"genotype": genotype.to_dict(), "rates": aspp_rates(genotype.path[-1])}
    arrays = {v.name.split(":")[0]: v.numpy() for v in network.variables if len(v.shape) != 2}
    arrays = {name: value for name, value in arrays.items() if "schedule" not in name}
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "network.npz")
        np.savez(path, images=images, labels=labels, description=json.dumps(description), **arrays)
        logits = network(images, training=True).numpy()
        peers = {}
        for order in ORDERS:
            peers[order] = Torch(path, order)
            close(np.load(path + ".npy"), logits, np.abs(logits).max(), LOGITS_TOLERANCE)
    batch = {"image": images, "label": labels, "position": np.arange(BATCH, dtype=np.int64)}
    batches = iter(tf.data.Dataset.from_tensors(batch).repeat())
    step = model.make_train_function()
    seconds = {name: [] for name in ("ours", *ORDERS)}
    with graphs_as_written():
        for index in range(COMPARED_STEPS + repeats):
            model.reset_metrics()
            start = time.perf_counter()
            loss = float(step(batches)["loss"])
            seconds["ours"].append(time.perf_counter() - start)
            for order, peer in peers.items():
                theirs, taken = peer.step()
                seconds[order].append(taken)
                if index < COMPARED_STEPS:
                    close(theirs, loss, loss, LOSS_TOLERANCE)
    for peer in peers.values():
        peer.close()
    medians = {name: statistics.median(values[COMPARED_STEPS:]) for name, values in seconds.items()}
    theirs = [medians[order] for order in ORDERS]
    return {
        **{name: round(value, 4) for name, value in medians.items()},
        "ratio": round(theirs[0] / medians["ours"], 2),
        "to_faster": round(min(theirs) / medians["ours"], 2),
    }


def close(theirs, ours, scale, tolerance):
    """Raises SystemExit where the networks differ."""
    import numpy as np

    error = np.abs(theirs - ours).max() / scale
    if not error < tolerance:
        sys.exit(f"PyTorch's network is another one: they differ by {error:.1e} of {scale:.3g}.")


def main(argv):
    del argv
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    from absl import flags

    from adl_tf.training.devices import configure_runtime

    configure_runtime()
    options, rows = flags.FLAGS, []
    for filters in map(int, options.filters):
        for crop in map(int, options.crops):
            row = {"filters": filters, "crop": crop}
            row.update(compare(options.genotype, filters, crop, options.repeats))
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    print(json.dumps({"cores": len(os.sched_getaffinity(0)), "batch": BATCH, "rows": rows}))


if __name__ == "__main__":
    if sys.argv[1:2] == ["torch"]:
        serve_torch(*sys.argv[2:])
    else:
        from absl import app, flags

        flags.DEFINE_string("torch_python", sys.executable, "A Python with torch.")
        flags.DEFINE_string("genotype", "auto_deeplab", "A preset or a file.")
        flags.DEFINE_list("filters", ["8", "20"], "F.")
        flags.DEFINE_list("crops", ["129", "257"], "Sides of the crops; 32 times a number, plus 1.")
        flags.DEFINE_integer("repeats", 8, "Timed steps of each.", lower_bound=1)
        app.run(main)

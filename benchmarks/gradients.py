"""Whether the gradients of alpha and beta say something about the data.

python benchmarks/gradients.py --output=benchmarks/gradients/camvid.jsonl --dataset_dir=DIR \
    [--gates=normalized,paper] [--seeds=0,1,2]

Trains the weights of the supernet of recommended_search.gin (but 8 layers, 3 blocks) with alpha and
beta at zero, then takes the gradients of alpha and beta on batches of trainB, without a step. Each
gates, seed and kind of labels is a case; cases that --output has already are not run again. With
shuffled labels, where each image is trained and scored on the labels of another one, what is left
is not in the data. Prints for each gates: the largest mean of beta's gradients by layer of moves;
how the means of the two halves of the batches correlate; those of different seeds; and those of
true and of shuffled labels. Of alpha the same, for single edges and for the means of each op over
all edges. Prints one JSON line last.

The criterion, fixed beforehand: the means of different seeds correlate by 0.5 or more, with those
of shuffled labels by 0.2 at most. Labels of another street still say that roads are below and skies
above, so a second one, fixed after the runs on CamVid and before those on other data: what is left
of the true means, once their part along the mean of the shuffled ones is taken away (`residual`),
correlates between seeds by 0.5 or more.
"""

import itertools
import json
import os
import time

import numpy as np
from absl import app, flags

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from adl_tf.model_directory import append_json_line, read_json_lines  # noqa: E402
from adl_tf.space.search_space import SearchSpace  # noqa: E402

OPTIONS = flags.FLAGS
SPACE = SearchSpace(num_layers=8, num_blocks=3, filter_multiplier=4)


def measure(gates, seed, shuffled):
    """Gradients on each batch: alpha [batches, edges, ops], beta [batches, layers - 1, ...]."""
    import tensorflow as tf

    from adl_tf.layers.shared_function import GradientsFor
    from adl_tf.models.supernet import Supernet
    from adl_tf.runs.data import RunData
    from adl_tf.training.alternating_model import AlternatingModel
    from adl_tf.training.devices import configure_runtime, seeded
    from adl_tf.training.losses import segmentation_loss
    from adl_tf.training.optimizers import architecture_optimizer, weight_optimizer

    configure_runtime(small_kernels=True)
    data = RunData(OPTIONS.dataset_dir, OPTIONS.crop_size, 4, seed=seed, shuffled_labels=shuffled)
    with seeded(seed), data.open():
        supernet = Supernet(
            SPACE,
            data.num_classes,
            stem=(16, 16, 32),
            separable_atrous=True,
            gates=gates,
            auxiliary_skip=OPTIONS.auxiliary_skip,
        )
        model = AlternatingModel(supernet)
        model.compile(weight_optimizer(total_steps=OPTIONS.steps), architecture_optimizer(1))
        model.build((None, *data.crop_size, 3))
        for variable in supernet.architecture_variables:
            variable.assign(tf.zeros_like(variable))
        loss = model.fit(
            data.training_stream(0, "A"), steps_per_epoch=OPTIONS.steps, epochs=1, verbose=0
        ).history["loss"][-1]

        @tf.function(autograph=False)
        def gradients(batch):
            variables = supernet.architecture_variables
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(variables)
                logits = supernet(batch["image"], training=True, wanted=GradientsFor.ARCHITECTURE)
                value = segmentation_loss(tf.cast(batch["label"], tf.int32), logits, 255)
            return value, tape.gradient(value, variables)

        losses, alphas, betas = [], [], []
        for batch in data.training_stream(0, "B").take(OPTIONS.batches):
            value, (alpha, beta) = gradients({k: batch[k] for k in ("image", "label")})
            losses.append(float(value))
            alphas.append(alpha.numpy())
            betas.append(beta.numpy())
    return loss, losses, np.array(alphas), np.array(betas)


def summarize(gates, seed, shuffled):
    """The line of a case: means of the gradients, of all batches and of both halves."""
    began = time.monotonic()
    loss, losses, alphas, betas = measure(gates, seed, shuffled)
    half = len(losses) // 2
    line = {"key": case_name(gates, seed, shuffled), "loss": loss, "loss_b": np.mean(losses)}
    for name, values in (("alpha", alphas), ("beta", betas)):
        line[name] = values.mean(axis=0).tolist()
        line[f"{name}_halves"] = [v.mean(axis=0).tolist() for v in (values[:half], values[half:])]
        line[f"{name}_error"] = (values.std(axis=0, ddof=1) / len(values) ** 0.5).tolist()
    return {**line, "seconds": round(time.monotonic() - began, 1)}


def case_name(gates, seed, shuffled):
    return f"{gates}/{'shuffled' if shuffled else 'true'}/{seed}"


def correlation(one, other):
    return float(np.corrcoef(np.ravel(one), np.ravel(other))[0, 1])


def rest(values, common):
    """Values less their mean and their part along others."""
    values, common = (np.ravel(x) - np.mean(x) for x in (values, common))
    return values - common * (values @ common) / (common @ common)


def parts_of(line):
    """What is compared: beta of the moves that can be made, alpha, and alpha's means by op."""
    legal = np.array(
        [
            [[ok and level in SPACE.levels(layer) for ok in row] for level, row in enumerate(legal)]
            for layer, legal in enumerate([SPACE.legal_moves()] * (SPACE.num_layers - 1))
        ]
    )

    def select(alpha, beta):
        alpha, beta = np.array(alpha), np.array(beta)
        return {"beta": beta[legal], "alpha": alpha, "ops": alpha.mean(axis=0)}

    whole = select(line["alpha"], line["beta"])
    halves = [select(*pair) for pair in zip(line["alpha_halves"], line["beta_halves"])]
    return whole, halves


def report(lines, gates):
    """Correlations of one kind of gates."""
    cases = {
        labels: [parts_of(lines[key]) for key in lines if key.startswith(f"{gates}/{labels}/")]
        for labels in ("true", "shuffled")
    }
    result = {}
    for name in ("beta", "alpha", "ops"):
        true = [whole[name] for whole, _ in cases["true"]]
        shuffled = [whole[name] for whole, _ in cases["shuffled"]]
        pairs = {
            "halves": [(h[0][name], h[1][name]) for _, h in cases["true"]],
            "seeds": list(itertools.combinations(true, 2)),
            "shuffled": list(itertools.product(true, shuffled)),
            "shuffled seeds": list(itertools.combinations(shuffled, 2)),
        }
        if shuffled:
            common = np.mean(shuffled, axis=0)
            own = [rest(one, common) for one in true]
            pairs["residual"] = list(itertools.combinations(own, 2))
        result[name] = {
            what: round(float(np.mean([correlation(*pair) for pair in several])), 3)
            for what, several in pairs.items()
            if several
        }
    true = [line for key, line in lines.items() if key.startswith(f"{gates}/true/")]
    betas = [np.array(line["beta"]) for line in true]
    largest = np.mean([np.abs(beta).max(axis=(1, 2)) for beta in betas], axis=0)
    result["beta by layer, thousandths"] = [round(1000 * float(value), 3) for value in largest]
    ops = np.mean([np.array(line["alpha"]).mean(axis=0) for line in true], axis=0)
    result["ops, thousandths"] = {
        op: round(1000 * float(value), 3) for op, value in zip(SPACE.ops, ops)
    }
    return result


def main(argv):
    del argv
    os.makedirs(os.path.dirname(OPTIONS.output) or ".", exist_ok=True)
    kinds = OPTIONS.gates
    for seed in map(int, OPTIONS.seeds):
        for shuffled in (False, True):
            for gates in kinds:
                done = read_json_lines(OPTIONS.output, key="key")
                if case_name(gates, seed, shuffled) not in done:
                    append_json_line(OPTIONS.output, summarize(gates, seed, shuffled))
                    print(case_name(gates, seed, shuffled), flush=True)
    lines = read_json_lines(OPTIONS.output, key="key")
    results = {gates: report(lines, gates) for gates in kinds}
    for gates, result in results.items():
        print(gates)
        for name, values in result.items():
            print(f"  {name}: {values}")
    print(json.dumps(results))


if __name__ == "__main__":
    flags.DEFINE_string("output", None, "JSON lines, one for each case.", required=True)
    flags.DEFINE_string("dataset_dir", None, "Records.", required=True)
    flags.DEFINE_integer("crop_size", 129, "Side of the crops.")
    flags.DEFINE_integer("steps", 200, "Weight steps before the gradients are taken.")
    flags.DEFINE_integer("batches", 40, "Batches of trainB.")
    flags.DEFINE_float("auxiliary_skip", 1.0, "See `Supernet`.")
    flags.DEFINE_list("gates", ["normalized", "paper"], "Kinds of gates.")
    flags.DEFINE_list("seeds", ["0", "1", "2"], "Of the weights and of the order of the images.")
    app.run(main)

"""How well the order of a table's genotypes is predicted, by searches and by trivial measures.

python benchmarks/ranking.py --gin_file=study_sampled_search.gin \
    [--sampled_dir=DIR] [--search_dir=DIR]

Each directory is of a search: by sampled paths (`run_sampled_search`), or in the supernet
(`run_search`); gin files say which images they had. What they say of each genotype of the table is
added to --predictions and not computed again. Then prints, for each predictor that is in there and
for the measures that a predictor has to beat, Kendall's tau-b with its 95 % bootstrap interval, the
precision at the top fifth and the regret of the genotype predicted to be the best. Then the same of
the training mIoU of seed 0 after each quarter, by which random search with early stopping ranks,
and of the other predictors beside it: on the genotypes that have more seeds, whose scores it has
not seen. Prints one JSON line last.
"""

import json
import os
import sys

import numpy as np
from absl import app, flags

from adl_tf.configuration import parse_gin
from adl_tf.evaluation.ranking import kendall_tau, summarize_ranking
from adl_tf.evaluation.table import read_table
from adl_tf.model_directory import append_json_line, read_json_lines
from adl_tf.programs import define_gin_flags
from adl_tf.space.decoding import op_probabilities, path_probability
from adl_tf.space.ops import get_op
from adl_tf.space.search_space import level_stride


def main(argv):
    del argv
    options = flags.FLAGS
    table = read_table(options.members, options.prefix)
    searches = [(d, predict_by_sampled) for d in options.sampled_dir]
    searches += [(d, predict_by_supernet) for d in options.search_dir]
    if searches:
        import adl_tf.runs.search_method  # noqa: F401  What the gin files bind.

        parse_gin(options.gin_file, options.gin_param)
    done = read_json_lines(options.predictions, key="key")
    for directory, predict in searches:
        name = os.path.basename(os.path.normpath(directory))
        for predictor, values in predict(directory, table.genotypes, done, name):
            line = {"key": f"{name}/{predictor}", "values": dict(zip(table.names, values))}
            append_json_line(options.predictions, line)
    predictors = trivial_predictors(table)
    for key, line in read_json_lines(options.predictions, key="key").items():
        predictors[key] = np.array([line["values"][name] for name in table.names])
    result = report(np.nanmean(table.scores, axis=1), predictors)
    both = np.isfinite(table.scores[:, 1:]).any(axis=1)
    tau = kendall_tau(table.scores[both, 0], table.scores[both, 1])
    print(f"tau between two seeds ({both.sum()} genotypes): {tau:.3f}", file=sys.stderr)
    predictors.update(training_predictors(options.members, table.names))
    unseen = np.nanmean(table.scores[both, 1:], axis=1)
    result["unseen_seeds"] = report(unseen, {n: values[both] for n, values in predictors.items()})
    print(json.dumps({**result, "seed_deviation": table.seed_deviation, "tau_between_seeds": tau}))


def trivial_predictors(table):
    """What a ranker has to beat."""
    genotypes, costs = table.genotypes, table.costs
    with_weights = [
        sum(get_op(op).has_weights for block in g.cell for _, op in block) for g in genotypes
    ]
    return {
        "parameters": np.array([cost["parameters"] for cost in costs]),
        "activations": np.array([cost["activations"] for cost in costs]),
        "ops with parameters": np.array(with_weights),
        "mean stride (small is better)": -np.array(
            [np.mean([level_stride(level) for level in g.path]) for g in genotypes]
        ),
        "mIoU after a quarter of the steps": np.nanmean(table.curves[:, :, 0], axis=1),
    }


def training_predictors(members, names):
    """Training mIoU of seed 0 after each quarter of the steps."""
    lines = read_json_lines(members, key="training")
    curves = [[epoch["miou"] for epoch in lines[f"{n}/seed_0"]["metrics"]] for n in names]
    return {
        f"training mIoU after quarter {quarter}": np.array(values)
        for quarter, values in enumerate(zip(*curves), 1)
    }


def predict_by_sampled(directory, genotypes, done, name):
    """Yields (predictor, values): scores with the inherited weights of sampled paths."""
    if f"{name}/inherited weights, recalibrated" in done:
        return
    import tensorflow as tf

    from adl_tf.model_directory import SPACE_FILE, read_versioned
    from adl_tf.models.checkpoint_files import newest_checkpoint
    from adl_tf.models.shared_network import SharedNetwork
    from adl_tf.runs.data import RunData
    from adl_tf.runs.sampled_search import Ranker
    from adl_tf.space.network_sizes import NetworkSizes
    from adl_tf.space.search_space import SearchSpace
    from adl_tf.training.devices import configure_runtime

    configure_runtime()
    data = RunData()
    fields = read_versioned(os.path.join(directory, SPACE_FILE))
    sizes, classes = NetworkSizes(**fields.pop("sizes")), fields.pop("num_classes")
    share_edges = fields.pop("share_edges", False)
    with data.open():
        network = SharedNetwork(
            SearchSpace(**fields), classes, sizes, seed=data.seed, share_edges=share_edges
        )
        network.build((None, *data.crop_size, 3))
        checkpoint = tf.train.Checkpoint(network=network)
        checkpoint.read(newest_checkpoint(directory)).expect_partial()
        ranker = Ranker(directory, network, data, data.class_weights())
        before = [ranker.measure(genotype) for genotype in genotypes]
        after = [ranker.score(genotype) for genotype in genotypes]
    yield "inherited weights, not recalibrated", [scores["miou"] for scores in before]
    yield "inherited weights, recalibrated", [scores["miou"] for scores in after]
    yield "inherited weights, recalibrated, loss", [-scores["loss"] for scores in after]


def predict_by_supernet(directory, genotypes, done, name):
    """Yields (predictor, values): likelihood, inherited weights and perturbation."""
    if f"{name}/perturbation" in done:
        return
    from adl_tf.runs.data import RunData
    from adl_tf.runs.supernet_scores import SupernetScores, measure_strengths
    from adl_tf.training.devices import configure_runtime

    configure_runtime(small_kernels=True)
    data = RunData()
    with data.open():
        batches = list(data.training_stream(0, "B").take(flags.FLAGS.batches))
        scores = SupernetScores(directory, batches, data.class_weights())
        space = scores.space
        ops = np.log(op_probabilities(scores.alpha))

        def likelihood(genotype):
            cell = sum(
                ops[space.edges.index((source, block)), space.ops.index(op)]
                for block, branches in enumerate(genotype.cell)
                for source, op in branches
            )
            return cell + np.log(path_probability(space, scores.beta, genotype.path))

        yield "alpha and beta likelihood", [likelihood(genotype) for genotype in genotypes]
        for statistics, text in ((False, "not recalibrated"), (True, "recalibrated")):
            found = [scores.score_genotype(g, statistics) for g in genotypes]
            yield f"inherited weights, {text}", [score.miou for score in found]
        strengths = measure_strengths(scores)
        yield "perturbation", [strengths.predict(space, genotype) for genotype in genotypes]


def report(scores, predictors):
    """Prints a line for each predictor, the best first; returns the numbers."""
    rows = {name: summarize_ranking(values, scores) for name, values in predictors.items()}
    print(
        f"{len(scores)} genotypes; mIoU {scores.mean():.4f} +- {np.std(scores, ddof=1):.4f}, from "
        f"{scores.min():.4f} to {scores.max():.4f}",
        file=sys.stderr,
    )
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["tau"]):
        print(
            f"{name:60s} tau {row['tau']:6.3f} [{row['tau_low']:6.3f}, {row['tau_high']:6.3f}]  "
            f"top fifth {row['top_precision']:.2f}  regret {row['regret']:.4f}",
            file=sys.stderr,
        )
    return {"genotypes": len(scores), "predictors": rows}


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_string("members", "benchmarks/table/members.jsonl", "The table.")
    flags.DEFINE_string("prefix", "random", "Members whose names start with it.")
    flags.DEFINE_string("predictions", "benchmarks/table/predictions.jsonl", "File to add to.")
    flags.DEFINE_multi_string("sampled_dir", [], "Searches by sampled paths.")
    flags.DEFINE_multi_string("search_dir", [], "Searches in the supernet.")
    flags.DEFINE_integer("batches", 8, "Batches of trainB that the supernet scores.")
    app.run(main)

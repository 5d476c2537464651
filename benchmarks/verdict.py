"""Whether what searches found is better than random genotypes, and whether searches agree.

python benchmarks/verdict.py --gin_file=study_annealed_search.gin \
    --methods=paper,annealed,sampled [--controls=sampled_shuffled]

Reads a study's members: the table (`--prefix`), and for each method the trainings of what its
searches found, members METHOD_SEED. Prints for each method the mean mIoU; the share of the table
that is better; the best of k random genotypes, k = 1 + search time / training time, chosen by their
mIoU on training images, in expectation over the draws; and how far the searches agree, next to
chance, without a budget and within that of the gin files. Controls are searches on shuffled labels,
for the agreement alone. Prints one JSON line last.
"""

import json
import sys

import numpy as np
from absl import app, flags

import adl_tf.runs.search_method  # noqa: F401  What the gin files bind.
from adl_tf.configuration import (
    configured_budget,
    configured_sizes,
    parse_gin,
)
from adl_tf.evaluation.agreement import agreement, chance_agreement
from adl_tf.evaluation.ranking import expected_best_of
from adl_tf.evaluation.table import read_table, read_trainings
from adl_tf.programs import define_gin_flags
from adl_tf.space.genotype import load_genotype
from adl_tf.space.search_space import PATH_RULES, SearchSpace


def main(argv):
    del argv
    options = flags.FLAGS
    if not options.gin_file:
        raise app.UsageError("give --gin_file=study_annealed_search.gin, whose budget is meant")
    parse_gin(options.gin_file, options.gin_param)
    lines = list(read_trainings(options.members).values())
    table = read_table(options.members, options.prefix)
    scores = np.nanmean(table.scores, axis=1)
    members = [line for line in lines if line["member"].startswith(options.prefix)]
    on_train = {
        name: np.mean([line["metrics"][-1]["miou"] for line in members if line["member"] == name])
        for name in table.names
    }
    selection = np.array([on_train[name] for name in table.names])
    seconds = float(np.median([line["seconds"] for line in members]))
    layers, blocks = len(table.genotypes[0].path), len(table.genotypes[0].cell)
    budget = configured_budget(num_classes=options.num_classes, sizes=configured_sizes())
    chance = {}
    for rule in PATH_RULES:
        space = SearchSpace(num_layers=layers, num_blocks=blocks, path_rule=rule)
        chance[rule] = chance_agreement(space)
        chance[f"{rule}, within the budget"] = chance_agreement(space, budget=budget)
    result = {
        "table": {"mean": float(scores.mean()), "best": float(scores.max())},
        "default_path": float(np.mean([x["val_miou"] for x in lines if on_default_path(x)])),
        "seed_deviation": table.seed_deviation,
        "training_seconds": seconds,
        "chance": chance,
        "methods": {},
    }
    for method in [*options.methods, *options.controls]:
        found = [
            line
            for line in lines
            if line["member"].rpartition("_")[0] == method and "search" in line
        ]
        if not found:
            raise ValueError(f"{options.members}: no searches of {method!r}.")
        genotypes = {line["member"]: load_genotype(line["genotype"]) for line in found}
        row = {"searches": len(genotypes)}
        if len(genotypes) > 1:
            row["agreement"] = agreement(list(genotypes.values()))
        if method in options.methods:
            miou = float(np.mean([line["val_miou"] for line in found]))
            # Of a search that was interrupted these are the seconds of its last run alone.
            search = float(max(line["search"]["seconds"] for line in found))
            k = max(1, min(len(scores), round(1 + search / seconds)))
            row.update(
                miou=miou,
                better_in_table=float((scores > miou).mean()),
                search_seconds=search,
                k=k,
                best_of_k=expected_best_of(scores, selection, k),
            )
        result["methods"][method] = row
        print(method, json.dumps(row), file=sys.stderr)
    print(json.dumps(result))


def on_default_path(line):
    """Whether a member is a random cell on the path that an untrained search decodes to."""
    return line["member"].startswith("stride_4")


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_string("members", "benchmarks/table/members.jsonl", "Lines of a study.")
    flags.DEFINE_string("prefix", "random", "Members of the table.")
    flags.DEFINE_integer("num_classes", 11, "Of the data.")
    flags.DEFINE_list("methods", [], "Names of searches whose results were trained.")
    flags.DEFINE_list("controls", [], "Names of searches for the agreement alone.")
    app.run(main)

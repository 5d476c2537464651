"""What a random search with early stopping would find in the table, in expectation over its draws.

python benchmarks/early_stopping.py [--members=FILE --prefix=random] [--draws=2000]

Replays `run_random_search` with the recorded trainings of seed 0: their mIoU on training crops
after each quarter decides who goes on. What is found is scored by the other seeds of the same
genotype where there are any, which the search has not seen, and by all. Beside it: the best of k
whole trainings, by the mIoU on training crops at their end. Prints one JSON line.
"""

import json
import sys

import numpy as np
from absl import app, flags
from scipy.stats import kendalltau

from adl_tf.model_directory import read_json_lines
from adl_tf.space.early_stopping import goes_on

CANDIDATES, SHARES = (12, 20, 30), (0.33, 0.5)


def replay(order, rungs, share):
    """(the genotype that is found, cost in whole trainings) for one order of genotypes."""
    length = rungs.shape[1]
    seen = [[] for _ in range(length)]
    best, cost = None, 0
    for index in order:
        for rung, miou in enumerate(rungs[index]):
            cost += 1 / length
            if rung + 1 == length:
                best = index if best is None or miou > rungs[best, -1] else best
            elif not goes_on(miou, seen[rung], share):
                seen[rung].append(miou)
                break
            seen[rung].append(miou)
    return best, cost


def main(argv):
    del argv
    options = flags.FLAGS
    lines = [
        line
        for line in read_json_lines(options.members, key="training").values()
        if line["member"].startswith(options.prefix)
    ]
    names = sorted({line["member"] for line in lines})
    first = {line["member"]: line for line in lines if line["seed"] == 0}
    rungs = np.array([[m["miou"] for m in first[name]["metrics"]] for name in names])

    def mean(name, kept):
        scores = [line["val_miou"] for line in lines if line["member"] == name and kept(line)]
        return np.mean(scores) if scores else np.nan

    scores = {
        "all": np.array([mean(name, lambda line: True) for name in names]),
        "others": np.array([mean(name, lambda line: line["seed"] != 0) for name in names]),
    }
    random = np.random.default_rng(0)
    rows = {}
    for candidates in CANDIDATES:
        orders = [random.permutation(len(names))[:candidates] for _ in range(options.draws)]
        for share in SHARES:
            found, costs = zip(*(replay(order, rungs, share) for order in orders))
            row = {key: float(np.nanmean(values[list(found)])) for key, values in scores.items()}
            row["trainings"] = float(np.mean(costs))
            k = round(row["trainings"])
            whole = [order[np.argmax(rungs[order, -1])] for order in (o[:k] for o in orders)]
            row["best_of_k"] = {
                key: float(np.nanmean(values[whole])) for key, values in scores.items()
            }
            rows[f"{candidates} candidates, share {share}"] = row
            print(candidates, share, json.dumps(row), file=sys.stderr)
    known = ~np.isnan(scores["others"])
    taus = [
        float(kendalltau(rungs[known, rung], scores["others"][known])[0])
        for rung in range(rungs.shape[1])
    ]
    means = {key: float(np.nanmean(values)) for key, values in scores.items()}
    print(json.dumps({"mean": means, "tau_of_rungs_with_other_seeds": taus, "searches": rows}))


if __name__ == "__main__":
    flags.DEFINE_string("members", "benchmarks/table/members.jsonl", "Lines of a study.")
    flags.DEFINE_string("prefix", "random", "Members of the table.")
    flags.DEFINE_integer("draws", 2000, "Orders of the genotypes.")
    app.run(main)

"""Whether architectures of a wide space differ by more than seeds do, and whether a rung tells.

python benchmarks/space.py --dataset_dir=DIR --output_dir=runs/space \
    --results=benchmarks/space/NAME.jsonl [--networks=40] [--long=10] [--minutes=20]

Draws random networks of 4 to 10 layers and 1 to 5 blocks, of one latency on this machine, and
trains each for a rung of 100 steps; ten of them, evenly spread over the order that gives, go on for
1200 steps from two seeds. Stops after --minutes and goes on when it is started again. Each training
is a line of --results. Prints the variance components and one JSON line last.

The criterion, fixed beforehand: by training loss, the long-run deviation between architectures is
at least 1.5 times that between seeds, and tau of rung and long run at least 0.4.
"""

import contextlib
import json
import os
import sys

import numpy as np
import scipy.stats
from absl import app, flags
from trainings import OutOfTime, Trainings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from adl_tf.configuration import configured_sizes, parse_gin  # noqa: E402
from adl_tf.searches.trials import Candidate, Trials  # noqa: E402
from adl_tf.serving.layer_timing import with_latency  # noqa: E402
from adl_tf.space.budget import Budget  # noqa: E402
from adl_tf.space.genotype import Genotype  # noqa: E402
from adl_tf.space.network_sizes import NetworkSizes  # noqa: E402
from adl_tf.space.sampling import sample_genotype  # noqa: E402
from adl_tf.space.search_space import SearchSpace  # noqa: E402

OPTIONS = flags.FLAGS
LAYERS, BLOCKS = range(4, 11), range(1, 6)
RUNG, LONG_RUN, PARTS = 100, 1200, 4  # Steps; the long run is judged by the last of four parts.


def draw(count, num_classes):
    """Random candidates of the wide space that fill one latency."""
    random = np.random.default_rng(0)
    height, width = (int(side) for side in OPTIONS.image_size)
    budget = with_latency(
        Budget(
            (height, width),
            num_classes,
            filter_multiplier=16,
            milliseconds=OPTIONS.milliseconds,
            sizes=configured_sizes(),
        )
    )
    for _ in range(count):
        space = SearchSpace(
            num_layers=int(random.choice(LAYERS)), num_blocks=int(random.choice(BLOCKS))
        )
        genotype = sample_genotype(space, random)
        yield Candidate("wide", genotype, *budget.fill(genotype))


def candidates(lines, data):
    """The drawn networks; those that were begun keep the F with which they began."""
    known = [
        lines[f"{index}/rung"] for index in range(OPTIONS.networks) if f"{index}/rung" in lines
    ]
    if len(known) == OPTIONS.networks:
        return [
            Candidate("wide", Genotype(**d["genotype"]), d["f"], NetworkSizes(**d["sizes"]))
            for d in known
        ]
    return list(draw(OPTIONS.networks, data.num_classes))


def train(trainings, key, candidate, seed, steps, parts):
    """Trains a network unless --results has it."""
    from adl_tf.runs.data import RunData

    trials = Trials(steps=steps, rungs=parts, share=1.0)
    trainings.train(key, lambda: candidate, RunData(seed=seed), trials)


def components(losses):
    """(deviation between networks, between seeds) of losses [networks, seeds]."""
    seeds = losses.shape[1]
    within = losses.var(axis=1, ddof=1).mean()
    between = max(0.0, losses.mean(axis=1).var(ddof=1) - within / seeds)
    return between**0.5, within**0.5


def report(lines):
    """What the lines say so far."""
    rung = {key.split("/")[0]: x["loss"] for key, x in lines.items() if key.endswith("/rung")}
    long = {
        index: [lines[f"{index}/long_{seed}"]["loss"] for seed in (0, 1)]
        for index in rung
        if f"{index}/long_1" in lines
    }
    result = {"rungs": len(rung), "long": len(long)}
    if len(long) > 2:
        losses = np.array(list(long.values()))
        between, seeds = components(losses)
        tau = scipy.stats.kendalltau([rung[index] for index in long], losses.mean(axis=1))
        result.update(between=between, seeds=seeds, ratio=between / seeds, tau=tau.statistic)
    for name, of in (("layers", _layers), ("blocks", _blocks), ("f", lambda line: line["f"])):
        values = [of(lines[f"{index}/rung"]) for index in rung]
        if len(set(values)) > 1:
            result[f"rung loss with {name}"] = scipy.stats.spearmanr(
                values, list(rung.values())
            ).statistic
    return result


def _layers(line):
    return len(line["genotype"]["path"])


def _blocks(line):
    return len(line["genotype"]["cell"])


def main(argv):
    del argv
    import adl_tf.searches.method  # noqa: F401  What the gin file binds.
    from adl_tf.runs.data import RunData

    trainings = Trainings(OPTIONS.results, OPTIONS.output_dir, OPTIONS.minutes)
    parse_gin(
        ["recommended_search.gin"],
        [f"DATASET_DIR = {OPTIONS.dataset_dir!r}", f"CROP_SIZE = {OPTIONS.crop_size}"],
    )
    with contextlib.suppress(OutOfTime):
        data = RunData()
        with data.open(must_score=False):
            networks = candidates(trainings.lines, data)
        for index, candidate in enumerate(networks):
            train(trainings, f"{index}/rung", candidate, 0, RUNG, 1)
        lines = trainings.lines
        order = sorted(range(len(networks)), key=lambda index: lines[f"{index}/rung"]["loss"])
        chosen = np.linspace(0, len(order) - 1, OPTIONS.long).round().astype(int)
        for seed in (0, 1):
            for index in (order[place] for place in chosen):
                train(trainings, f"{index}/long_{seed}", networks[index], seed, LONG_RUN, PARTS)
    result = report(trainings.lines)
    print(result, file=sys.stderr)
    print(json.dumps(result))


if __name__ == "__main__":
    flags.DEFINE_string("dataset_dir", None, "Records.", required=True)
    flags.DEFINE_string("output_dir", None, "Directory of the trainings.", required=True)
    flags.DEFINE_string("results", None, "JSON lines, one for each training.", required=True)
    flags.DEFINE_integer("networks", 40, "Networks drawn.")
    flags.DEFINE_integer("long", 10, "Of them, trained long.")
    flags.DEFINE_integer("crop_size", 129, "Side of the crops.")
    flags.DEFINE_list("image_size", ["180", "240"], "At which milliseconds are counted.")
    flags.DEFINE_float("milliseconds", 15.0, "Of all networks.")
    flags.DEFINE_float("minutes", 20, "After which it stops, to be started again.")
    app.run(main)

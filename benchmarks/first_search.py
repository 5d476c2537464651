"""README's first search: is its network better than random ones of equal cost?

python -m adl_tf.search --gin_file=search.gin
python benchmarks/first_search.py --genotype=runs/search/genotype.json \
    --results=benchmarks/first_search.jsonl [--networks=5] [--seeds=3] [--minutes=60]

Draws random networks uniformly, with the F that fills the search's budget, and trains all of them
by train.gin, each with some seeds. A training that has its line is not run again; none is begun
after the minutes. Prints one JSON line last: mean mIoU and mean training loss of the last steps, in
percent and nats, of what was found and of the random ones.
"""

import contextlib
import itertools
import json
import os

from absl import app, flags
from trainings import OutOfTime, Trainings

from adl_tf.system.files import read_json

OPTIONS = flags.FLAGS
FOUND = "found"


def main(argv):
    del argv
    trainings = Trainings(OPTIONS.results, OPTIONS.output_dir, OPTIONS.minutes)
    genotypes = {FOUND: OPTIONS.genotype, **draw()}
    with contextlib.suppress(OutOfTime):
        for seed, (name, path) in itertools.product(range(OPTIONS.seeds), genotypes.items()):
            fields = {"genotype": read_json(path)}
            bindings, start = [f"SEED = {seed}"], f"--genotype={path}"
            trainings.run_program(f"{name}/{seed}", "train.gin", bindings, start, **fields)
    result = {}
    for arm in (FOUND, "random"):
        own = [line for key, line in trainings.lines.items() if key.startswith(arm)]
        for field in ("miou", "loss"):
            result[f"{arm}_{field}"] = round(sum(x[field] for x in own) / max(1, len(own)), 3)
        result[f"{arm}_trainings"] = len(own)
    print(json.dumps(result))


def draw():
    """Files of random genotypes with the F that fills the budget of search.gin, by name."""
    import adl_tf.searches.method  # noqa: F401  What the gin file binds.
    from adl_tf.configuration import (
        configured_budget,
        configured_sizes,
        configured_space,
        parse_gin,
    )
    from adl_tf.runs.data import RunData
    from adl_tf.searches.proposals import draw_random
    from adl_tf.space.genotype import save_genotype

    parse_gin(["search.gin"], [])
    data = RunData()
    with data.open(must_score=False):
        budget = configured_budget(num_classes=data.num_classes, sizes=configured_sizes())
    paths = {}
    for index, genotype in enumerate(draw_random(configured_space(), OPTIONS.networks, 1000)):
        filters, sizes = budget.fill(genotype)
        path = paths[f"random {index}"] = os.path.join(OPTIONS.output_dir, f"random_{index}.json")
        save_genotype(genotype, path, filter_multiplier=filters, sizes=sizes.to_dict())
    return paths


if __name__ == "__main__":
    flags.DEFINE_string("genotype", None, "What a search found.", required=True)
    flags.DEFINE_string("results", None, "JSON lines, one for each training.", required=True)
    flags.DEFINE_string("output_dir", "runs/first_search", "Directory of the trainings.")
    flags.DEFINE_integer("networks", 5, "Random networks.", lower_bound=1)
    flags.DEFINE_integer("seeds", 3, "Trainings of each network.", lower_bound=1)
    flags.DEFINE_float("minutes", 60, "After which no training is begun.")
    app.run(main)

"""Whether what searches propose learns better than random networks of the same cost, and why.

python benchmarks/proposals.py --dataset_dir=DIR --output_dir=runs/proposals \
    --results=benchmarks/proposals/NAME.jsonl [--searches=6] [--minutes=20]

Searches by recommended_search.gin with true labels, with those of other images (shuffled), and with
random numbers in place of the gradients of alpha and beta (noise); a dozen proposals of each are
trained for a hundred steps beside uniform networks, beside random ones that have as many ops
with parameters as the proposals of the true searches (matched), and beside those of many random
ones that are widest at the budget (widest). F fills one budget for all; proposals are the draws
themselves; the widest of as many of them (true, widest) and the widest random ones are what the
two arms of a search are. Stops
after --minutes and goes on when it is started again. Each training is a line of --results. Prints
how far each arm is ahead of the uniform one, in deviations of single uniform networks, with the
p-value of a test over the means of its searches, the share of all variance that F and the number of
ops with parameters explain, and one JSON line last.

The criterion, fixed beforehand: true searches 0.65 deviations above uniform, p < 0.05 clustered by
search, above the matched and above the shuffled.
"""

import contextlib
import functools
import itertools
import json
import os
import sys

import numpy as np
import scipy.stats
from absl import app, flags
from trainings import OutOfTime, Trainings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from adl_tf.configuration import parse_gin  # noqa: E402
from adl_tf.space.decision import weightless_share  # noqa: E402
from adl_tf.space.genotype import Genotype  # noqa: E402
from adl_tf.space.relaxed import RelaxedArchitecture  # noqa: E402
from adl_tf.system.files import read_json, write_json  # noqa: E402

OPTIONS = flags.FLAGS
TRUE, SHUFFLED, NOISE = "true", "shuffled", "noise"
UNIFORM, MATCHED, WIDEST = "uniform", "matched", "widest"
DRAWN = 240  # Of which the widest are taken.
SEED = 1000  # Of all that is not a search.


def find_logits(kind, seed):
    """alpha and beta of a search; kept in a file, since a search takes minutes."""
    path = os.path.join(OPTIONS.output_dir, f"{kind}_{seed}.json")
    if not os.path.exists(path):
        logits = walk_at_random(seed) if kind == NOISE else search(kind, seed)
        write_json({name: np.array(values).tolist() for name, values in logits.items()}, path)
    fields = read_json(path)
    return np.array(fields["alpha"]), np.array(fields["beta"])


def search(kind, seed):
    from adl_tf.searches.gradient_search import run_gradient_search
    from adl_tf.searches.result import read_search

    model_dir = os.path.join(OPTIONS.output_dir, f"{kind}_{seed}")
    configure(kind, seed)
    run_gradient_search(model_dir, trials=None, budget=None)
    relaxed = read_search(model_dir)
    return {"alpha": relaxed.alpha, "beta": relaxed.beta}


def walk_at_random(seed):
    """Where as many steps of the same Adam lead on gradients that are noise."""
    import tensorflow as tf

    from adl_tf.training.optimizers import architecture_optimizer

    space, data = configure(NOISE, seed)
    with data.open(must_score=False):
        passes = OPTIONS.steps_per_epoch or data.steps_per_pass("A")
        steps = (OPTIONS.epochs - OPTIONS.epochs * 2 // 5) * passes
    optimizer = architecture_optimizer(total_steps=steps)
    random = np.random.default_rng(seed)
    logits = {"alpha": space.alpha_shape, "beta": space.beta_shape}
    logits = {name: tf.Variable(np.zeros(shape, np.float32)) for name, shape in logits.items()}
    for _ in range(steps):
        noise = [random.normal(size=v.shape).astype(np.float32) for v in logits.values()]
        optimizer.apply_gradients(zip(map(tf.constant, noise), logits.values()))
    return {name: variable.numpy() for name, variable in logits.items()}


def configure(kind, seed):
    """The space and the data of a search, as gin has them."""
    import adl_tf.searches.method  # noqa: F401  What the gin file binds.
    from adl_tf.configuration import configured_space
    from adl_tf.runs.data import RunData

    parse_gin(
        ["recommended_search.gin"],
        [
            f"DATASET_DIR = {OPTIONS.dataset_dir!r}",
            "NUM_LAYERS = 8",  # As it had when this was begun.
            "NUM_BLOCKS = 3",
            f"CROP_SIZE = {OPTIONS.crop_size}",
            f"IMAGE_SIZE = {OPTIONS.image_size}",
            f"MULTI_ADDS = {OPTIONS.multi_adds}",
            f"EPOCHS = {OPTIONS.epochs}",
            f"ARCH_START_EPOCH = {OPTIONS.epochs * 2 // 5}",
            f"run_gradient_search.steps_per_epoch = {OPTIONS.steps_per_epoch}",
            f"STEPS = {OPTIONS.steps}",
            f"SEED = {seed}",
            "Trials.rungs = 1",
            f"RunData.shuffled_labels = {kind == SHUFFLED}",
            *OPTIONS.gin_param,
        ],
    )
    return configured_space(), RunData()


def arms():
    """Yields (name of the arm, cluster, genotypes), first those that are cheap."""
    from adl_tf.searches.proposals import draw_random, propose
    from adl_tf.training.optimizers import architecture_optimizer

    space, _ = configure(TRUE, SEED)
    noise = float(architecture_optimizer(total_steps=1).learning_rate)
    yield UNIFORM, UNIFORM, draw_random(space, 2 * OPTIONS.count, SEED)
    yield WIDEST, WIDEST, widest(draw_random(space, DRAWN, SEED + 1))
    for seed, kind in itertools.product(range(OPTIONS.searches), OPTIONS.kinds):
        relaxed = RelaxedArchitecture(space, *find_logits(kind, seed))
        proposed = propose(relaxed, noise, OPTIONS.count, seed)
        yield kind, f"{kind}_{seed}", proposed
        wide = widest(propose(relaxed, noise, DRAWN, seed))
        yield f"{kind}, {WIDEST}", f"{kind}, {WIDEST}_{seed}", wide
        if kind == TRUE:
            yield MATCHED, f"{MATCHED}_{seed}", match(space, proposed, seed)
            yield f"{MATCHED}, {WIDEST}", f"{MATCHED}, {WIDEST}_{seed}", match(space, wide, seed)


def widest(drawn):
    """Those with the largest F in the budget; of uniform draws, a search that is no search."""
    from adl_tf.configuration import configured_budget, configured_sizes

    _, data = configure(TRUE, SEED)
    with data.open(must_score=False):
        budget = configured_budget(num_classes=data.num_classes, sizes=configured_sizes())
    return sorted(drawn, key=lambda genotype: -budget.fill(genotype)[0])[: OPTIONS.count]


def match(space, genotypes, seed):
    """Random genotypes with as many ops with parameters as each of the given ones."""
    from adl_tf.space.sampling import sample_genotype

    random = np.random.default_rng([seed, 3])
    found = []
    for genotype in genotypes:
        draws = (sample_genotype(space, random) for _ in itertools.count())
        wanted = weightless_share(genotype.cell)
        found.append(next(g for g in draws if abs(weightless_share(g.cell) - wanted) < 1e-6))
    return found


def train(trainings, arm, cluster, genotypes):
    """Trains what --results lacks, one after the other, all on the same images, from one seed."""
    from adl_tf.configuration import configured_budget, configured_sizes
    from adl_tf.searches.proposals import make_candidates
    from adl_tf.searches.trials import Trials

    space, data = configure(TRUE, SEED)
    sizes = configured_sizes()

    def candidate(genotype):
        budget = configured_budget(num_classes=data.num_classes, sizes=sizes)
        return make_candidates(arm, [genotype], space, sizes, budget)[0]

    for index, genotype in enumerate(genotypes):
        make = functools.partial(candidate, genotype)
        trainings.train(f"{cluster}/{index}", make, data, Trials(), arm=arm, cluster=cluster)


def explained(lines):
    """Share of the losses' variance that width and the number of ops with parameters explain."""
    columns = [
        (1.0, np.log(line["f"]), weightless_share(Genotype(**line["genotype"]).cell))
        for line in lines
    ]
    losses = np.array([line["loss"] for line in lines])
    matrix = np.array(columns)
    rest = losses - matrix @ np.linalg.lstsq(matrix, losses, rcond=None)[0]
    return float(1 - rest.var() / losses.var())


def report(lines):
    """How far the arms are ahead of the uniform one."""
    losses = {}
    for line in lines:
        losses.setdefault(line["arm"], {}).setdefault(line["cluster"], []).append(line["loss"])
    uniform = np.array(losses.get(UNIFORM, {}).get(UNIFORM, []))
    if len(uniform) < 2:
        return {}
    mean, deviation = uniform.mean(), uniform.std(ddof=1)
    result = {UNIFORM: {"networks": len(uniform), "mean": mean, "deviation": deviation}}
    result["explained"] = explained(lines)
    for arm, clusters in losses.items():
        if arm == UNIFORM:
            continue
        ahead = [(mean - np.mean(values)) / deviation for values in clusters.values()]
        result[arm] = {
            "searches": len(ahead),
            "networks": sum(map(len, clusters.values())),
            "ahead": float(np.mean(ahead)),
            "by_search": [round(float(value), 2) for value in ahead],
        }
        if len(ahead) > 1:
            # Against the uniform networks, whose mean has an error of its own.
            error = np.hypot(np.std(ahead, ddof=1) / len(ahead) ** 0.5, len(uniform) ** -0.5)
            p_value = scipy.stats.t.sf(np.mean(ahead) / error, len(ahead) - 1)
            result[arm]["p_value"] = float(p_value)
    return result


def main(argv):
    del argv
    folder = os.path.join(OPTIONS.output_dir, "trainings")
    trainings = Trainings(OPTIONS.results, folder, OPTIONS.minutes)
    with contextlib.suppress(OutOfTime):
        for arm, cluster, genotypes in arms():
            trainings.check_time()
            train(trainings, arm, cluster, [Genotype(**g.to_dict()) for g in genotypes])
    results = report(list(trainings.lines.values()))
    for arm, values in results.items():
        print(arm, values, file=sys.stderr)
    print(json.dumps(results))


if __name__ == "__main__":
    flags.DEFINE_string("dataset_dir", None, "Records.", required=True)
    flags.DEFINE_string("output_dir", None, "Directory of searches and trainings.", required=True)
    flags.DEFINE_string("results", None, "JSON lines, one for each training.", required=True)
    flags.DEFINE_integer("searches", 6, "Of each kind.")
    flags.DEFINE_list("kinds", [TRUE, SHUFFLED, NOISE], "Of searches.")
    flags.DEFINE_integer("count", 12, "Proposals of a search; twice as many uniform networks.")
    flags.DEFINE_integer("epochs", 10, "Of a search; two fifths of them train weights alone.")
    flags.DEFINE_integer("steps_per_epoch", None, "Of a search; passes over its images by default.")
    flags.DEFINE_integer("steps", 100, "Of a training.")
    flags.DEFINE_integer("crop_size", 129, "Side of the crops.")
    flags.DEFINE_string("image_size", "(180, 240)", "At which Multi-Adds are counted.")
    flags.DEFINE_float("multi_adds", 0.5, "Billions, of all networks.")
    flags.DEFINE_float("minutes", 20, "After which it stops, to be started again.")
    flags.DEFINE_multi_string("gin_param", [], "Further bindings, such as 'Supernet.gates = ...'.")
    app.run(main)

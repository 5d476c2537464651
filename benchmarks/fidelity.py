"""Whether short trainings order genotypes as longer ones do.

python benchmarks/fidelity.py [--short=FILE --long=FILE --prefix=random]

Both files hold lines of a study; genotypes that both have are compared. Prints the scores of each,
and one JSON line last: Kendall's tau-b, with its 95 % bootstrap interval, between the scores of the
long trainings and the mean over the seeds of the short ones.
"""

import json

import numpy as np
from absl import app, flags

from adl_tf.studies.ranking import summarize_ranking
from adl_tf.studies.table import read_table


def main(argv):
    del argv
    options = flags.FLAGS
    short, long = (read_table(f, options.prefix) for f in (options.short, options.long))
    before = dict(zip(short.genotypes, np.nanmean(short.scores, axis=1)))
    after = dict(zip(long.genotypes, np.nanmean(long.scores, axis=1)))
    both = [genotype for genotype in after if genotype in before]
    for name, genotype in zip(long.names, long.genotypes):
        if genotype in before:
            print(f"{name}: {before[genotype]:.3f} -> {after[genotype]:.3f}")
    pairs = np.array([[before[genotype], after[genotype]] for genotype in both])
    print(json.dumps({"genotypes": len(both), **summarize_ranking(pairs[:, 0], pairs[:, 1])}))


if __name__ == "__main__":
    flags.DEFINE_string("short", "benchmarks/table/members.jsonl", "Lines of a study.")
    flags.DEFINE_string("long", "benchmarks/table/fidelity.jsonl", "Lines of a longer one.")
    flags.DEFINE_string("prefix", "random", "Members to compare.")
    app.run(main)

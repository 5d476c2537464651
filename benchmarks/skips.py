"""When skip connections take over in a search in the supernet.

python benchmarks/skips.py benchmarks/table/searches/annealed_* benchmarks/table/searches/cost_*

Reads the histories of alpha and beta, decodes the cell after every epoch by the paper's rule, and
prints how many of its ops are skip connections, with the first epoch of training alpha after which
there are two or more: the rule by which DARTS+ (https://arxiv.org/abs/1909.06035) stops a search.
Prints one JSON line last.
"""

import json
import os
import sys

from absl import app

from adl_tf.model_directory import ARCHITECTURE_FILE, read_json_lines
from adl_tf.space.decoding import decode
from adl_tf.space.search_space import SearchSpace

SPACE = SearchSpace(num_layers=8, num_blocks=3)  # That of study.gin.
MOST = 2


def main(argv):
    result = {}
    for directory in argv[1:]:
        lines = read_json_lines(os.path.join(directory, ARCHITECTURE_FILE), key="epoch", of=int)
        first = lines[min(lines)]["alpha"]
        skips, trained = [], []
        for epoch in sorted(lines):
            alpha, beta = lines[epoch]["alpha"], lines[epoch]["beta"]
            genotype, _ = decode(SPACE, alpha, beta)
            ops = [op for block in genotype.cell for _, op in block]
            skips.append(ops.count("skip_connect"))
            if alpha != first:
                trained.append(epoch)
        stop = next((e for e in trained if skips[sorted(lines).index(e)] >= MOST), None)
        name = os.path.basename(os.path.normpath(directory))
        result[name] = {"skips": skips, "first_trained": trained[0] if trained else None}
        result[name]["stops_after"] = stop
        print(name, json.dumps(result[name]), file=sys.stderr)
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)

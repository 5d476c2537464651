"""Decodes the newest checkpoint of a search: genotype.json and pictures.

python -m adl_tf.decode --model_dir=DIR [--output=FILE]
"""

import json
import os
import sys
from typing import Any, Dict, Optional

from absl import flags

from adl_tf.configuration import run_program  # isort: skip

import numpy as np
import tensorflow as tf

from adl_tf.space.decoding import decode
from adl_tf.space.genotype import save_genotype
from adl_tf.space.search_space import SearchSpace, level_stride
from adl_tf.training.search_log import SPACE_FILE, architecture_history
from adl_tf.visualization.architecture import draw_architecture
from adl_tf.visualization.figure import save_figure
from adl_tf.visualization.history import draw_alpha_history, draw_beta_history

_VARIABLE = "supernet/{}/.ATTRIBUTES/VARIABLE_VALUE"


def _read_search(model_dir: str):
    """Returns (space, alpha, beta) of the newest checkpoint."""
    checkpoint = tf.train.latest_checkpoint(model_dir)
    path = os.path.join(model_dir, SPACE_FILE)
    if checkpoint is None or not os.path.exists(path):
        raise FileNotFoundError(f"{model_dir}: no checkpoint of a search there.")
    with open(path) as file:
        fields = json.load(file)
    fields.pop("num_classes")
    reader = tf.train.load_checkpoint(checkpoint)
    alpha, beta = (reader.get_tensor(_VARIABLE.format(name)) for name in ("alpha", "beta"))
    return SearchSpace(**fields), np.asarray(alpha), np.asarray(beta)


def decode_model_dir(model_dir: str, output: Optional[str] = None) -> Dict[str, Any]:
    """Writes the genotype of a search, prints it to stderr and draws it.

    Args:
      model_dir: of a search, running or finished.
      output: file of the genotype; `genotype.json` in the model directory by default.
        The pictures go beside it.

    Returns:
      path, cell, probability (of the path), genotype (the file).

    Raises:
      FileNotFoundError: no search there.
    """
    space, alpha, beta = _read_search(model_dir)
    genotype, probability = decode(space, alpha, beta)
    output = output or os.path.join(model_dir, "genotype.json")
    folder = os.path.dirname(output)
    if folder:
        os.makedirs(folder, exist_ok=True)
    save_genotype(genotype, output, probability=probability)
    alphas, betas = architecture_history(model_dir, space)
    for name, figure in (
        ("architecture", draw_architecture(genotype, space, beta)),
        ("alpha_history", draw_alpha_history(space, alphas)),
        ("beta_history", draw_beta_history(space, betas)),
    ):
        save_figure(figure, os.path.join(folder, f"{name}.png"))
    strides = " ".join(str(level_stride(level)) for level in genotype.path)
    print(f"strides: {strides}", file=sys.stderr)
    for index, block in enumerate(genotype.cell):
        text = " + ".join(f"{op}({source})" for source, op in block)
        print(f"block {index} (input {index + 2}): {text}", file=sys.stderr)
    return {**genotype.to_dict(), "probability": probability, "genotype": output}


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    return decode_model_dir(os.path.expanduser(flags.FLAGS.model_dir), flags.FLAGS.output)


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Directory of a search.", required=True)
    flags.DEFINE_string("output", None, "File of the genotype [MODEL_DIR/genotype.json].")
    run_program(main)

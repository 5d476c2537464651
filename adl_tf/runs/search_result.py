"""The result of a search, running or finished: its genotype, and pictures of it."""

import os
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from adl_tf.files import writing
from adl_tf.model_directory import (
    ALPHA_HISTORY_PICTURE,
    ALPHA_PICTURE,
    ARCHITECTURE_FILE,
    ARCHITECTURE_PICTURE,
    BETA_HISTORY_PICTURE,
    BETA_PICTURE,
    GENOTYPE_FILE,
    SPACE_FILE,
    read_versioned,
)
from adl_tf.models.checkpoint_files import newest_checkpoint
from adl_tf.progress import say
from adl_tf.space.budget import Budget, decode_within
from adl_tf.space.decision import measure_decision
from adl_tf.space.decoding import (
    decode,
    move_probabilities,
    op_probabilities,
    path_probability,
)
from adl_tf.space.genotype import Genotype, describe_genotype, save_genotype
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.callbacks.architecture_log import architecture_history
from adl_tf.visualization.alpha_map import draw_alpha
from adl_tf.visualization.architecture import draw_architecture
from adl_tf.visualization.beta_map import draw_beta
from adl_tf.visualization.figure import save_figure
from adl_tf.visualization.history import draw_alpha_history, draw_beta_history

_VARIABLE = "supernet/{}/.ATTRIBUTES/VARIABLE_VALUE"


def most_probable(space: SearchSpace, alpha: np.ndarray, beta: np.ndarray) -> Genotype:
    """The genotype that the paper's rule decodes, see `decode`."""
    return decode(space, alpha, beta)[0]


def within(budget: Budget) -> Callable[[SearchSpace, np.ndarray, np.ndarray], Genotype]:
    """For `decode_search`: the most probable genotype within a budget, see `decode_within`."""
    return lambda space, alpha, beta: decode_within(space, alpha, beta, budget)


def decode_search(
    model_dir: str,
    output: Optional[str] = None,
    choose: Callable[[SearchSpace, np.ndarray, np.ndarray], Genotype] = most_probable,
) -> Dict[str, Any]:
    """Writes the genotype of a search's newest checkpoint, prints it to stderr and draws it.

    Args:
      model_dir: of a search, running or finished.
      output: file of the genotype; `genotype.json` in the model directory by default.
        The pictures go beside it.
      choose: the genotype of a space, alpha and beta; the paper's by default.

    Returns:
      path, cell, probability (of the path), decision (how much of it was decided, see
      `Decision`), genotype (the file).

    Raises:
      FileNotFoundError: no search there.
      ValueError: a search of another version, or a damaged file.
    """
    space, alpha, beta = read_search(model_dir)
    alphas, betas = architecture_history(model_dir, space)
    genotype = choose(space, alpha, beta)
    probability = path_probability(space, beta, genotype.path)
    decision = measure_decision(space, alpha, beta, genotype)
    output = output or os.path.join(model_dir, GENOTYPE_FILE)
    folder = os.path.dirname(output)
    if folder:
        os.makedirs(folder, exist_ok=True)
    save_genotype(genotype, output, probability=probability, decision=decision.numbers())
    pictures = {
        ARCHITECTURE_PICTURE: draw_architecture(genotype, space, beta, alpha),
        ALPHA_PICTURE: draw_alpha(space, op_probabilities(alpha)),
        BETA_PICTURE: draw_beta(space, move_probabilities(space, beta)),
    }
    if alphas:
        pictures[ALPHA_HISTORY_PICTURE] = draw_alpha_history(space, alphas)
        pictures[BETA_HISTORY_PICTURE] = draw_beta_history(space, betas)
    else:
        say(f"{os.path.join(model_dir, ARCHITECTURE_FILE)} has no epochs: no history is drawn.")
    for name, figure in pictures.items():
        save_figure(figure, os.path.join(folder, name))
    for line in (*describe_genotype(genotype), decision.summary(), decision.warning()):
        if line:
            say(line)
    return {
        **genotype.to_dict(),
        "probability": probability,
        "decision": decision.numbers(),
        "genotype": output,
    }


def write_ranked(
    model_dir: str,
    best: Sequence[Tuple[Genotype, Dict[str, float]]],
    decision: Dict[str, float],
    remarks: Sequence[str],
    step: int,
) -> Dict[str, Any]:
    """Writes, prints to stderr and draws the best of the genotypes that a search ranked.

    Args:
      model_dir: gets genotype, picture and, for TensorBoard, scores and decision.
      best: the best ones with their scores, the best one first.
      decision: how much was decided, by name.
      remarks: what is printed after the genotype; empty ones are left out.
      step: weight steps of the search.

    Returns:
      genotype (the file), path, cell, scores and decision of the best one, and best: all of them.
    """
    genotype, scores = best[0]
    for line in (*describe_genotype(genotype), *remarks):
        if line:
            say(line)
    file = os.path.join(model_dir, GENOTYPE_FILE)
    save_genotype(genotype, file, **scores, decision=decision)
    save_figure(draw_architecture(genotype), os.path.join(model_dir, ARCHITECTURE_PICTURE))
    writer = tf.summary.create_file_writer(model_dir)
    with writing(os.path.join(model_dir, "events.out.tfevents")), writer.as_default(step):
        for group, values in (("found", scores), ("decision", decision)):
            for name, value in values.items():
                tf.summary.scalar(f"{group}/{name}", value)
        writer.close()
    return {
        "genotype": file,
        **genotype.to_dict(),
        **scores,
        "decision": decision,
        "best": [{**other.to_dict(), **line} for other, line in best],
    }


def read_search(model_dir: str) -> Tuple[SearchSpace, np.ndarray, np.ndarray]:
    """Reads where a search stands.

    Args:
      model_dir: of the search.

    Returns:
      the space, and alpha float32 [edges, ops] and beta float32 [layers - 1, levels, moves], as
      logits over the temperature, of the newest checkpoint.

    Raises:
      FileNotFoundError: no search there.
      ValueError: a search of another version, or a damaged file.
    """
    checkpoint = newest_checkpoint(model_dir)
    path = os.path.join(model_dir, SPACE_FILE)
    fields = read_versioned(path) if os.path.exists(path) else {}
    if "sizes" in fields:
        raise ValueError(
            f"{model_dir}: a search that ranks genotypes has no alpha and beta to decode; what it "
            f"found is in its {GENOTYPE_FILE}."
        )
    if checkpoint is None or not fields:
        raise FileNotFoundError(f"{model_dir}: no checkpoint of a search there.")
    fields.pop("num_classes", None)
    try:
        space = SearchSpace(**fields)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a search space ({error}); restore the file.") from error
    reader = tf.train.load_checkpoint(checkpoint)
    alpha, beta, temperature = (
        reader.get_tensor(_VARIABLE.format(name)) for name in ("alpha", "beta", "temperature")
    )
    return space, alpha / temperature, beta / temperature

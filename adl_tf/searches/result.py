"""The result of a search, running or finished: its genotype, and pictures of it."""

import dataclasses
import os
from typing import Any, Dict, Mapping, Optional, Sequence

import tensorflow as tf
from matplotlib.figure import Figure

from adl_tf.model_directory import (
    ALPHA_HISTORY_PICTURE,
    ALPHA_PICTURE,
    ARCHITECTURE_FILE,
    ARCHITECTURE_PICTURE,
    BETA_HISTORY_PICTURE,
    BETA_PICTURE,
    DECODED_FOLDER,
    GENOTYPE_FILE,
    SPACE_FILE,
    read_versioned,
)
from adl_tf.models.checkpoint_files import newest_checkpoint
from adl_tf.models.supernet import Supernet
from adl_tf.space.decision import measure_decision
from adl_tf.space.decoding import decode
from adl_tf.space.genotype import Genotype, describe_genotype, save_genotype
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import SearchSpace
from adl_tf.system.files import writing
from adl_tf.system.progress import say
from adl_tf.training.callbacks.architecture_log import architecture_history
from adl_tf.visualization.alpha_map import draw_alpha
from adl_tf.visualization.architecture import draw_architecture
from adl_tf.visualization.beta_map import draw_beta
from adl_tf.visualization.figure import save_figure
from adl_tf.visualization.history import draw_alpha_history, draw_beta_history

_VARIABLE = "supernet/{}/.ATTRIBUTES/VARIABLE_VALUE"


def describe_search(method: str, supernet: Supernet) -> Dict[str, Any]:
    """The content of `space.json` for a search by gradients: its method, space and supernet."""
    config = supernet.get_config()
    own = ("stem", "separable_atrous", "gates", "auxiliary_skip")
    return {
        "method": method,
        "space": dataclasses.asdict(supernet.space),
        "num_classes": supernet.num_classes,
        "supernet": {name: config[name] for name in own},
    }


def decode_search(model_dir: str, output: Optional[str] = None) -> Dict[str, Any]:
    """Decodes alpha and beta of a search's newest checkpoint (paper, section 3.3).

    Args:
      model_dir: model directory of a search, running or finished.
      output: file of the genotype; `decoded/genotype.json` in the model directory by default.

    Returns:
      see `write_result`.

    Raises:
      FileNotFoundError: no search there.
      ValueError: a search of another version, or a damaged file.
    """
    output = output or os.path.join(model_dir, DECODED_FOLDER, GENOTYPE_FILE)
    return write_result(model_dir, read_search(model_dir), output)


def write_result(
    model_dir: str,
    relaxed: RelaxedArchitecture,
    output: str,
    found: Optional[Genotype] = None,
    pictures: Optional[Mapping[str, Figure]] = None,
    remarks: Sequence[str] = (),
    **fields: Any,
) -> Dict[str, Any]:
    """Writes the genotype of a search, prints it to stderr and draws it.

    Args:
      model_dir: model directory of the search, whose history is drawn.
      relaxed: its alpha and beta.
      output: file of the genotype; the pictures go beside it.
      found: what the search found in the end; None decodes alpha and beta.
      pictures: further ones, by file name.
      remarks: further lines to print.
      **fields: further ones of the genotype's file and of the result.

    Returns:
      path, cell, probability (of the path), decision (how much of it was decided, see
      `Decision`), genotype (the file), and the fields.
    """
    genotype = found or decode(relaxed)[0]
    decision = measure_decision(relaxed, genotype)
    fields = {
        "probability": relaxed.path_probability(genotype.path),
        "decision": decision.numbers(),
        **fields,
    }
    folder = os.path.dirname(output)
    if folder:
        os.makedirs(folder, exist_ok=True)
    save_genotype(genotype, output, **fields)
    drawn = {**_draw(model_dir, relaxed, genotype), **(pictures or {})}
    for name, figure in drawn.items():
        save_figure(figure, os.path.join(folder, name))
    for line in (*describe_genotype(genotype), decision.summary(), decision.warning(), *remarks):
        if line:
            say(line)
    return {**genotype.to_dict(), **fields, "genotype": output}


def _draw(model_dir: str, relaxed: RelaxedArchitecture, genotype: Genotype) -> Dict[str, Figure]:
    """Pictures of a genotype, of alpha and beta, and of their history."""
    pictures = {
        ARCHITECTURE_PICTURE: draw_architecture(genotype, relaxed),
        ALPHA_PICTURE: draw_alpha(relaxed),
        BETA_PICTURE: draw_beta(relaxed),
    }
    history = architecture_history(model_dir, relaxed.space)
    if history:
        pictures[ALPHA_HISTORY_PICTURE] = draw_alpha_history(history)
        pictures[BETA_HISTORY_PICTURE] = draw_beta_history(history)
    else:
        say(f"{os.path.join(model_dir, ARCHITECTURE_FILE)} has no epochs: no history is drawn.")
    return pictures


def write_events(model_dir: str, step: int, scalars: Mapping[str, float]) -> None:
    """Shows numbers in TensorBoard, at a step of the search."""
    writer = tf.summary.create_file_writer(model_dir)
    with writing(os.path.join(model_dir, "events.out.tfevents")), writer.as_default(step):
        for name, value in scalars.items():
            tf.summary.scalar(name, value)
        writer.close()


def read_search(model_dir: str) -> RelaxedArchitecture:
    """Reads where a search by gradients stands.

    Args:
      model_dir: model directory of the search.

    Returns:
      alpha and beta of the newest checkpoint.

    Raises:
      FileNotFoundError: no search there.
      ValueError: a search of another kind or version, or a damaged file.
    """
    path = os.path.join(model_dir, SPACE_FILE)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{model_dir}: no search there.")
    fields = read_versioned(path)
    if "method" not in fields:
        raise ValueError(
            f"{model_dir}: a search of an earlier version of adl_tf, whose supernet computes "
            "something else; search again in another --model_dir."
        )
    if "supernet" not in fields:
        raise ValueError(
            f"{model_dir}: a search by {fields['method']} has no alpha and beta to decode; what it "
            f"found is in its {GENOTYPE_FILE}."
        )
    checkpoint = newest_checkpoint(model_dir)
    if checkpoint is None:
        raise FileNotFoundError(f"{model_dir}: no checkpoint of a search there.")
    try:
        space = SearchSpace(**fields["space"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a search space ({error}); restore the file.") from error
    reader = tf.train.load_checkpoint(checkpoint)
    alpha, beta = (reader.get_tensor(_VARIABLE.format(name)) for name in ("alpha", "beta"))
    return RelaxedArchitecture(space, alpha, beta)

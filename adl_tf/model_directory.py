"""The model directory: every file that a run leaves in it, its writer and its readers.

    file                       what it holds
                               written by -> read by

    space.json                 method, search space, number of classes
                               searches -> the same
    network.json               network, its size, genotype, number of classes
                               runs.training_run -> the same, models.registry
    schedule.json              what a resumed run must not change, its data among that
                               searches, runs.training_run -> the same
    classes.json               names and colors of the classes
                               models.trained_on -> models.classes
    run.json                   data set of a training
                               models.trained_on -> the same, for an evaluation
    operative_config.gin       gin configuration in force
                               runs.run -> the user
    ckpt-*, checkpoint         the whole state that a run resumes from
                               training.checkpointing -> the same, searches.result
    best/, last/               weights as scored
                               training.callbacks.result_weights -> models.weights
    weights.npz                those of a preset, in float16
                               models.weights -> the same
    metrics.jsonl              losses and scores of each epoch
                               training.callbacks.metrics_log -> runs.run
    events.out.tfevents.*      the same and pictures
                               training.callbacks.metrics_log, searches.result -> TensorBoard
    architecture.jsonl         alpha and beta after each epoch, as logits
                               training.callbacks.architecture_log -> searches.result
    genotype.json              the architecture that was found
                               searches -> space.genotype
    architecture.png,          pictures of it, of alpha and beta, of these over the epochs, and of
    alpha.png, beta.png,       the losses of proposals and random networks
    alpha_history.png,         searches -> the user
    beta_history.png,
    proposals.png
    decoded/                   the architecture that alpha and beta stand for now, and its pictures
                               searches.result, for adl_tf.decode -> space.genotype
    ranking.jsonl              scores of candidates
                               searches.trials -> the same
    candidates/                states of trainings that may go on; removed at the end
                               searches.trials -> the same
    evaluation/                scores, page and pictures
                               evaluation.results -> the user

The directory of a study has two of its own, and a folder for each of its runs:

    study.json                 what all its trainings have in common
                               studies.study -> the same
    members.jsonl              a line for each training that is done
                               studies.study -> the same
    report.html                the study for people
                               studies.study

A search leaves space.json, architecture.jsonl, genotype.json and its pictures; a training leaves
network.json, classes.json, run.json, best/, last/ and, once evaluated, evaluation/; the rest is
common to both.
"""

import json
import os
from typing import Any, Dict

from adl_tf.system.files import read_json, write_json, writing

SPACE_FILE = "space.json"
NETWORK_FILE = "network.json"
SCHEDULE_FILE = "schedule.json"
CLASSES_FILE = "classes.json"
RUN_FILE = "run.json"
CONFIG_FILE = "operative_config.gin"
COMPACT_WEIGHTS_FILE = "weights.npz"
METRICS_FILE = "metrics.jsonl"
ARCHITECTURE_FILE = "architecture.jsonl"
GENOTYPE_FILE = "genotype.json"
STUDY_FILE = "study.json"
MEMBERS_FILE = "members.jsonl"
REPORT_FILE = "report.html"
LOG_FILE = "log.txt"  # What a run of a study told on stderr.
RANKING_FILE = "ranking.jsonl"
CANDIDATES_FOLDER = "candidates"
ARCHITECTURE_PICTURE = "architecture.png"
ALPHA_PICTURE = "alpha.png"
BETA_PICTURE = "beta.png"
ALPHA_HISTORY_PICTURE = "alpha_history.png"
BETA_HISTORY_PICTURE = "beta_history.png"
PROPOSALS_PICTURE = "proposals.png"
DECODED_FOLDER = "decoded"  # What `adl_tf.decode` writes.
EVALUATION_FOLDER = "evaluation"
BEST, LAST = CHECKPOINTS = ("best", "last")
WEIGHTS = "weights"  # Name of the checkpoints in these folders.
DATA = "data"  # Of schedule.json: the identity of the run's data.

# Incremented when checkpoints, or what a network computes from them, change.
FORMAT = 2
_FORMAT_KEY = "format"


def find_network_file(model_dir: str) -> str:
    """The path of `network.json`.

    Raises:
      FileNotFoundError: not the directory of a trained network.
    """
    path = os.path.join(os.path.expanduser(model_dir), NETWORK_FILE)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{model_dir}: no {NETWORK_FILE} there, so it holds no trained network; train one "
            "with python -m adl_tf.train."
        )
    return path


def read_object(path: str) -> Dict[str, Any]:
    """Reads a JSON file of a model directory.

    Raises:
      FileNotFoundError: no such file.
      ValueError: the file is damaged.
    """
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(f"{path}: {type(content).__name__} instead of a JSON object.")
    except ValueError as error:
        raise ValueError(
            f"{error} The file is damaged: restore it, or start again in another --model_dir."
        ) from error
    return content


def read_versioned(path: str) -> Dict[str, Any]:
    """Reads a JSON file that `write_versioned` wrote, without the version.

    Raises:
      FileNotFoundError: no such file.
      ValueError: the file is damaged, or of another version.
    """
    content = read_object(path)
    version = content.pop(_FORMAT_KEY, 1)  # Format 1 did not record it.
    if version != FORMAT:
        age = "an older" if version == 1 else "another"
        raise ValueError(
            f"{path}: written by {age} version of adl_tf (format {version}; this one has format "
            f"{FORMAT}), whose weights are incompatible; train again in another --model_dir."
        )
    return content


def write_versioned(content: Dict[str, Any], path: str) -> None:
    """Writes a JSON file with the version of the format."""
    write_json({_FORMAT_KEY: FORMAT, **content}, path)


def reserve_model_dir(model_dir: str, file: str, content: Dict[str, Any], begun: bool) -> None:
    """Creates the model directory and records its content, or checks that it is the same.

    Args:
      model_dir: the directory.
      file: JSON file in it that records the content.
      content: what the run will store there.
      begun: whether the directory holds anything to lose; otherwise a run that never began reserved
        it, and its content is replaced.

    Raises:
      ValueError: it holds something else, of another version, or the file is damaged.
    """
    path = os.path.join(model_dir, file)
    if not begun or not os.path.exists(path):
        os.makedirs(model_dir, exist_ok=True)
        write_versioned(content, path)
        return
    found = read_versioned(path)
    content = json.loads(json.dumps(content))  # Tuples become lists, as in the file.
    changed = [
        f"{key} {found.get(key)} -> {content.get(key)}"
        for key in {**found, **content}
        if found.get(key) != content.get(key)
    ]
    if changed:
        raise ValueError(
            f"{model_dir} holds a run with a different {file} ({'; '.join(changed)}): use "
            "another --model_dir, or the configuration that it was started with."
        )


def append_json_line(path: str, value: Any) -> None:
    """Appends a line to a JSON Lines file, after any half line left by a kill."""
    with writing(path), open(path, "ab+") as file:
        cut = False
        if file.tell():
            file.seek(-1, os.SEEK_END)
            cut = file.read(1) != b"\n"
        file.write(b"\n" * cut + json.dumps(value).encode() + b"\n")


def read_json_lines(path: str, key: str, of: type = str) -> Dict[Any, Dict[str, Any]]:
    """Reads JSON lines into a dict keyed by one of their fields; the last of equal keys wins.

    A resumed run writes the lines of repeated epochs again; a killed one may leave half a line,
    which is skipped.

    Args:
      path: the file; a missing one counts as empty.
      key: the field.
      of: its type.

    Raises:
      ValueError: a line is JSON, but has no such field, or one of another type.
    """
    if not os.path.exists(path):
        return {}
    values = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, 1):
            try:
                value = json.loads(line)
            except json.JSONDecodeError:
                continue
            if not isinstance(value, dict) or not isinstance(value.get(key), of):
                raise ValueError(
                    f"{path}: line {number} is damaged (no object with {key!r} of type "
                    f"{of.__name__}); remove it."
                )
            values[value[key]] = value
    return values

"""The table of a study: many genotypes of one space, each trained by one recipe."""

from typing import Any, Dict, Iterable, List, NamedTuple, Sequence

import numpy as np
import pydantic
from typing_extensions import NotRequired, TypedDict

from adl_tf.model_directory import read_json_lines
from adl_tf.space.genotype import Genotype, load_genotype
from adl_tf.system.files import reason_of


class _Cost(TypedDict):
    parameters: int
    multi_adds: int
    activations: NotRequired[int]  # Of decoded networks, as the next.
    multi_adds_by_part: NotRequired[Dict[str, int]]


class _Validation(TypedDict):
    val_miou: float


class _Genotype(TypedDict):
    path: List[int]
    cell: List[Any]


class _Training(TypedDict):
    """Required fields of a line of `members.jsonl`."""

    training: str
    member: str
    seed: int
    network: str
    cost: _Cost
    val_miou: float
    metrics: List[_Validation]
    seconds: float
    command: List[str]
    genotype: NotRequired[_Genotype]
    search: NotRequired[Dict[str, Any]]


_training = pydantic.TypeAdapter(_Training)


class Table(NamedTuple):
    """Results of trainings of genotypes.

    Attributes:
      names: names of the N members.
      genotypes: genotype of each.
      scores: [N, S] mIoU after the last step with each of S seeds; nan where that was not trained.
      curves: [N, S, V] mIoU at the V validations of a training, the last of which is the score.
      costs: cost of each, as `NetworkCost.summary` returns them.
    """

    names: List[str]
    genotypes: List[Genotype]
    scores: np.ndarray
    curves: np.ndarray
    costs: List[Dict[str, Any]]

    @property
    def seed_deviation(self) -> float:
        """Standard deviation of the scores of one genotype over the seeds, pooled."""
        return pooled_deviation(row[np.isfinite(row)] for row in self.scores)


def pooled_deviation(scores: Iterable[Sequence[float]]) -> float:
    """Standard deviation inside groups of scores; nan where none has two."""
    variances = [np.var(group, ddof=1) for group in scores if len(group) > 1]
    return float(np.sqrt(np.mean(variances))) if variances else float("nan")


def read_trainings(path: str) -> Dict[str, Dict[str, Any]]:
    """Reads the lines of a study's `members.jsonl`, by the names of the trainings.

    Raises:
      ValueError: a damaged line.
    """
    lines = read_json_lines(path, key="training")
    for name, line in lines.items():
        try:
            _training.validate_python(line, strict=True)
            if "genotype" in line:
                load_genotype(line["genotype"])
        except ValueError as error:
            raise ValueError(
                f"{path}: the line of {name!r} is damaged ({reason_of(error)}); remove it, and it "
                "is trained again."
            ) from error
    return lines


def read_table(path: str, prefix: str = "") -> Table:
    """Reads the decoded networks of a study's `members.jsonl`.

    Example:
      >>> table = read_table("benchmarks/table/members.jsonl", prefix="random")
      >>> len(table.genotypes) == len(table.scores)
      True

    Args:
      path: path of the file.
      prefix: only members whose names start with it.

    Raises:
      ValueError: no such members, or a damaged line.
    """
    lines = [
        line
        for line in read_trainings(path).values()
        if "genotype" in line and line["member"].startswith(prefix)
    ]
    if not lines:
        raise ValueError(f"{path}: no genotypes whose names start with {prefix!r}.")
    names = sorted({line["member"] for line in lines})
    seeds = sorted({line["seed"] for line in lines})
    validations = max(len(line["metrics"]) for line in lines)
    scores = np.full((len(names), len(seeds)), np.nan)
    curves = np.full((*scores.shape, validations), np.nan)
    genotypes, costs = {}, {}
    for line in lines:
        row, column = names.index(line["member"]), seeds.index(line["seed"])
        scores[row, column] = line["val_miou"]
        curve = [metrics["val_miou"] for metrics in line["metrics"]]
        curves[row, column, : len(curve)] = curve
        genotypes[row], costs[row] = load_genotype(line["genotype"]), line["cost"]
    rows = range(len(names))
    return Table(names, [genotypes[r] for r in rows], scores, curves, [costs[r] for r in rows])

"""Trainings by `adl_tf.train` as processes of their own, a line of a file each."""

import json
import os
import subprocess
import sys
import time


class ProgramTrainings:
    """Trainings that go on when the benchmark is started again.

    Args:
      results: JSON lines, one for each training.
      output_dir: directory of the trainings.
      minutes: after which no further one is begun.
    """

    def __init__(self, results, output_dir, minutes):
        self._results, self._output_dir = results, output_dir
        self._end = time.monotonic() + 60 * minutes
        for folder in (output_dir, os.path.dirname(results) or "."):
            os.makedirs(folder, exist_ok=True)

    @property
    def lines(self):
        """What was trained so far, by key."""
        if not os.path.exists(self._results):
            return {}
        with open(self._results) as file:
            return {line["key"]: line for line in map(json.loads, file)}

    def train(self, key, gin_file, bindings, start, **fields):
        """Trains a network, unless there is a line with this key or the minutes are over.

        Args:
          key: unique name.
          gin_file: config of the training.
          bindings: that change it.
          start: further flags, such as --genotype.
          **fields: of the line, besides key, miou (percent, of the last validation), loss (of the
            steps before it) and seconds.
        """
        if key in self.lines or time.monotonic() > self._end:
            return
        model_dir = os.path.join(self._output_dir, key.replace("/", "_").replace(" ", "_"))
        command = [sys.executable, "-m", "adl_tf.train", f"--gin_file={gin_file}", *start]
        command += [f"--gin_param={binding}" for binding in bindings] + [f"--model_dir={model_dir}"]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        result = next(json.loads(line) for line in printed.splitlines() if line.startswith("{"))
        with open(os.path.join(model_dir, "metrics.jsonl")) as file:
            last = [json.loads(line) for line in file][-1]
        line = {
            "key": key,
            **fields,
            "miou": round(100 * result["val_miou"], 2),
            "loss": round(last["loss"], 4),
            "seconds": result["seconds"],
        }
        with open(self._results, "a") as file:
            file.write(json.dumps(line) + "\n")

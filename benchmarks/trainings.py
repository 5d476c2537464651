"""Trainings of single networks, as trials of a search or by a program, a line of a file each."""

import json
import os
import subprocess
import sys
import time

from adl_tf.model_directory import METRICS_FILE, append_json_line, read_json_lines


class OutOfTime(Exception):
    """The minutes are over."""


class Trainings:
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
        return read_json_lines(self._results, key="key")

    def check_time(self):
        """Raises OutOfTime once the minutes are over."""
        if time.monotonic() > self._end:
            raise OutOfTime

    def run_program(self, key, gin_file, bindings, start, **fields):
        """Trains by `adl_tf.train` in a process of its own, unless there is a line with this key.

        Args:
          key: unique name.
          gin_file: config of the training.
          bindings: that change it.
          start: what is trained, a flag such as --genotype.
          **fields: of the line, besides key, miou (percent, of the last validation), loss (of the
            steps before it) and seconds.

        Raises:
          OutOfTime: see `check_time`.
        """
        if key in self.lines:
            return
        self.check_time()
        model_dir = os.path.join(self._output_dir, key.replace("/", "_").replace(" ", "_"))
        command = [sys.executable, "-m", "adl_tf.train", f"--gin_file={gin_file}", start]
        command += [f"--gin_param={binding}" for binding in bindings] + [f"--model_dir={model_dir}"]
        printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        result = next(json.loads(line) for line in printed.splitlines() if line.startswith("{"))
        epochs = read_json_lines(os.path.join(model_dir, METRICS_FILE), key="epoch", of=int)
        line = {
            "key": key,
            **fields,
            "miou": round(100 * result["val_miou"], 2),
            "loss": round(epochs[max(epochs)]["loss"], 4),
            "seconds": result["seconds"],
        }
        append_json_line(self._results, line)

    def train(self, key, make_candidate, data, trials, **fields):
        """Trains a network, unless there is a line with this key.

        Args:
          key: unique name.
          make_candidate: returns the network; called while the data are open.
          data: `RunData`.
          trials: `Trials`.
          **fields: of the line, besides key, losses, genotype, F and sizes.

        Raises:
          OutOfTime: see `check_time`.
        """
        import tensorflow as tf

        from adl_tf.distribution.workers import Workers
        from adl_tf.runs.run import Run
        from adl_tf.system.progress import Progress

        if key in self.lines:
            return
        self.check_time()
        folder = os.path.join(self._output_dir, key.replace("/", "_"))
        os.makedirs(folder, exist_ok=True)
        strategy = tf.distribute.get_strategy()
        with data.open(must_score=False), Progress(1) as progress:
            candidate = make_candidate()
            run = Run(folder, folder, Workers(strategy), strategy)
            (trial,) = trials.run(run, [candidate], data, progress)
        line = {
            "key": key,
            **fields,
            "loss": trial.losses[-1],
            "losses": trial.losses,
            "genotype": candidate.genotype.to_dict(),
            "f": candidate.filter_multiplier,
            "sizes": candidate.sizes.to_dict(),
        }
        append_json_line(self._results, line)

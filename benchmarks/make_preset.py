"""Makes a preset of a training: its network, its classes, and its best weights in float16.

python benchmarks/make_preset.py --model_dir=runs/camvid --name=camvid

Writes adl_tf/presets/NAME and prints one JSON line; the model card, README.md there, is for people.
"""

import json
import os
import shutil

from absl import app, flags

from adl_tf.model_directory import CLASSES_FILE, COMPACT_WEIGHTS_FILE, NETWORK_FILE
from adl_tf.models.presets import FOLDER
from adl_tf.models.weights import load_network, save_compact_weights


def main(argv):
    del argv
    options = flags.FLAGS
    directory = os.path.join(FOLDER, options.name)
    os.makedirs(directory, exist_ok=True)
    for file in (NETWORK_FILE, CLASSES_FILE):
        shutil.copy(os.path.join(options.model_dir, file), directory)
    save_compact_weights(load_network(options.model_dir), directory)
    size = os.path.getsize(os.path.join(directory, COMPACT_WEIGHTS_FILE))
    print(json.dumps({"preset": directory, "megabytes": round(size / 1e6, 2)}))


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Directory of a training.", required=True)
    flags.DEFINE_string("name", None, "Name of the preset.", required=True)
    app.run(main)

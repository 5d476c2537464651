"""The README's picture: a photo, what the network says of it, and the network.

python -m adl_tf.search --gin_file=search.gin --model_dir=runs/search
python -m adl_tf.train --gin_file=train.gin --gin_param="STEPS = 1500" \
    --genotype=runs/search/genotype.json --model_dir=runs/trained
python benchmarks/overview.py --search_dir=runs/search --model_dir=runs/trained \
    --output=docs/overview.png

Draws a street of its own, which neither has seen.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import adl_tf  # noqa: E402  Before TensorFlow, whose Keras it chooses.

# isort: split

import matplotlib.image  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from adl_tf.model_directory import ARCHITECTURE_PICTURE  # noqa: E402
from adl_tf.visualization.figure import TEXT, save_figure  # noqa: E402
from data_prep.street import CLASSES, draw_street  # noqa: E402

SIZE, SEED = (128, 256), 2024


def main(argv):
    del argv
    options = flags.FLAGS
    photo, _ = draw_street(np.random.default_rng(SEED), *SIZE)
    network = adl_tf.load_network(options.model_dir)
    labels = adl_tf.Predictor(network)(adl_tf.normalize(photo[None]))[0].numpy()
    colors = np.array(list(CLASSES.values()), np.uint8)
    architecture = matplotlib.image.imread(os.path.join(options.search_dir, ARCHITECTURE_PICTURE))
    height, width = architecture.shape[:2]

    top, below = 2.3, 10 * height / width
    figure = Figure(figsize=(10, top + below + 0.2), dpi=110)
    total = top + below + 0.2
    panels = (
        ("photo", photo, (0.01, 1 - (top - 0.1) / total, 0.48, (top - 0.35) / total)),
        ("prediction", colors[labels], (0.51, 1 - (top - 0.1) / total, 0.48, (top - 0.35) / total)),
        ("the network that was found", architecture, (0, 0, 1, below / total)),
    )
    for title, picture, place in panels:
        axes = figure.add_axes(place)
        axes.imshow(picture)
        axes.set_title(title, fontsize=9, color=TEXT, pad=3)
        axes.set_axis_off()
    save_figure(figure, options.output)


if __name__ == "__main__":
    flags.DEFINE_string("search_dir", None, "Model directory of the search.", required=True)
    flags.DEFINE_string("model_dir", None, "Model directory of the training.", required=True)
    flags.DEFINE_string("output", None, "The picture.", required=True)
    app.run(main)

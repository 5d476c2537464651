"""Networks, optimizers and losses of a user's own module, and what a run leaves in its process."""

import concurrent.futures
import json
import os
import sys

import gin
import pytest
import tensorflow as tf

from adl_tf.configuration import parse_gin
from adl_tf.evaluation.network_evaluation import evaluate_network
from adl_tf.models.weights import load_network
from adl_tf.runs.data import RunData
from adl_tf.runs.network import RunNetwork
from adl_tf.runs.training_run import run_training
from adl_tf.searches.gradient_search import run_gradient_search
from adl_tf.serving.export import export_network
from data_prep import convert_synthetic

MODULE = """
import gin
import tensorflow as tf
from adl_tf.training.losses import segmentation_loss, weighted_loss

calls = []

@gin.configurable
def my_optimizer(total_steps, rate=1.0):
    calls.append(("my_optimizer", total_steps, rate))
    return tf.keras.optimizers.Adam(rate)

@gin.configurable
def my_architecture_optimizer(total_steps):
    calls.append(("my_architecture_optimizer",))
    return tf.keras.optimizers.legacy.SGD(0.5)

@gin.configurable
def my_pixel_loss(labels, logits, ignore_label, class_weights, hard_fraction, factor=1.0):
    calls.append(("my_pixel_loss", factor))
    loss, weight = weighted_loss(labels, logits, ignore_label, class_weights, hard_fraction)
    return factor * loss, weight

@gin.configurable
def my_loss(labels, logits, ignore_label):
    calls.append(("my_loss",))
    return segmentation_loss(labels, logits, ignore_label)
"""
NETWORKS = """
import gin
import tensorflow as tf

@gin.configurable
class TinyNetwork(tf.keras.Model):
    def __init__(self, num_classes, genotype=None, width=1.0):
        images = tf.keras.Input((None, None, 3))
        features = tf.keras.layers.Conv2D(int(4 * width), 3, padding="same")(images)
        super().__init__(images, tf.keras.layers.Conv2D(num_classes, 1)(features))
        self.genotype = genotype

@gin.configurable
def tiny_network(num_classes, width=1.0):
    return tf.keras.Sequential(
        [
            tf.keras.layers.Conv2D(int(4 * width), 3, padding="same"),
            tf.keras.layers.Conv2D(num_classes, 1),
        ]
    )
"""
NETWORK = """
import {module}

run_training.steps = 1
RunNetwork.network = @{module}.{name}
RunNetwork.width = 2.0
"""
DATA = """
RunData.dataset_dir = '{}'
RunData.crop_size = 17
RunData.batch_size = 2
RunData.validation_images = 1
RunData.deterministic = True
"""
TRAINING = """
import my_training_parts

run_training.steps = 2
run_training.validate_every = 1
run_training.precision = '{}'
run_training.optimizer = @my_training_parts.my_optimizer
run_training.loss = @my_training_parts.my_pixel_loss
my_training_parts.my_optimizer.rate = 0.25
my_training_parts.my_pixel_loss.factor = 2.0
RunNetwork.genotype = '{}'
RunNetwork.filter_multiplier = 2
"""
SEARCH = """
import my_search_parts

run_gradient_search.epochs = 2
run_gradient_search.arch_start_epoch = 1
run_gradient_search.steps_per_epoch = 1
run_gradient_search.weight_optimizer = @my_search_parts.my_optimizer
run_gradient_search.architecture_optimizer = @my_search_parts.my_architecture_optimizer
run_gradient_search.loss = @my_search_parts.my_loss
my_search_parts.my_optimizer.rate = 0.01
SearchSpace.num_layers = 2
SearchSpace.num_blocks = 1
SearchSpace.filter_multiplier = 2
SearchSpace.ops = ('none', 'skip_connect', 'sep_conv_3x3')
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data set, a genotype, and the user's modules where Python finds them."""
    convert_synthetic.build(str(tmp_path / "streets"), num_train=4, num_val=1, height=32, width=32)
    genotype = {"path": [0, 0], "cell": [[[0, "skip_connect"], [1, "sep_conv_3x3"]]]}
    (tmp_path / "genotype.json").write_text(json.dumps(genotype))
    for name in ("my_training_parts", "my_search_parts"):
        (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    gin.clear_config()


def configure(folder, text):
    path = folder / "mine.gin"
    path.write_text(f"{text}{DATA.format(folder / 'streets')}")
    parse_gin([str(path)], [])


@pytest.mark.parametrize(
    "precision", ["float32", pytest.param("mixed_float16", marks=pytest.mark.whole)]
)
def test_a_training_in_a_thread_with_user_parts(folder, precision):
    configure(folder, TRAINING.format(precision, folder / "genotype.json"))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:  # As notebooks do.
        summary = pool.submit(run_training, str(folder / "run")).result()
    assert summary["steps"] == 2 and 0 <= summary["val_miou"] <= 1
    import my_training_parts

    assert {("my_optimizer", 2, 0.25), ("my_pixel_loss", 2.0)} <= set(my_training_parts.calls)
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    with open(os.path.join(folder, "run", "metrics.jsonl")) as file:
        assert [json.loads(line)["learning_rate"] for line in file] == [0.25, 0.25]
    with open(os.path.join(folder, "run", "operative_config.gin")) as file:
        config = file.read()
    assert "import my_training_parts" in config
    assert "run_training.optimizer = @my_training_parts.my_optimizer" in config
    assert run_training(str(folder / "run"))["best_val_miou"] == summary["best_val_miou"]


def test_a_search_with_user_parts(folder):
    configure(folder, SEARCH)
    summary = run_gradient_search(str(folder / "run"))
    assert (summary["weight_steps"], summary["arch_steps"]) == (2, 1)
    import my_search_parts

    names = {call[0] for call in my_search_parts.calls}
    assert names == {"my_optimizer", "my_architecture_optimizer", "my_loss"}
    assert my_search_parts.calls[0] == ("my_optimizer", 2, 0.01)


def test_a_missing_module_is_one_line(folder):
    with pytest.raises(ValueError, match="gin: .*no_such_module"):
        configure(folder, "import no_such_module\n")


@pytest.mark.parametrize("name", ["TinyNetwork", "tiny_network"])
def test_a_network_of_the_user_is_found_again(folder, name, monkeypatch):
    module = f"my_networks_with_{name}"  # gin registers each name once in a process.
    (folder / f"{module}.py").write_text(NETWORKS)
    configure(folder, NETWORK.format(module=module, name=name))
    run = str(folder / "run")
    run_training(run)
    with open(os.path.join(run, "network.json")) as file:
        content = json.load(file)
    assert content["network"] == f"{module}:{name}" and content["width"] == 2.0
    network = load_network(run)
    num_classes = content["num_classes"]
    assert network.num_classes == num_classes
    assert [tuple(v.shape) for v in network.trainable_variables] == [
        (3, 3, 3, 8),
        (8,),
        (1, 1, 8, num_classes),
        (num_classes,),
    ]
    assert 0 <= evaluate_network(run)["miou"] <= 1
    export = export_network(run, str(folder / "export"))
    assert os.path.exists(os.path.join(export["export_dir"], "saved_model.pb"))

    # The same by the object itself; where the module is not found, one line says so.
    gin.clear_config()
    builder = getattr(sys.modules[module], name)
    data = RunData(str(folder / "streets"), crop_size=17, batch_size=2)
    again = run_training(run, data=data, network=RunNetwork(network=builder, width=2.0), steps=1)
    assert again["steps"] == 1
    monkeypatch.delitem(sys.modules, module)
    os.remove(folder / f"{module}.py")
    with pytest.raises(ValueError, match=f"network.json: .*No module named '{module}'") as error:
        load_network(run)
    assert "\n" not in str(error.value)


def test_a_network_that_could_not_be_found_again_is_refused():
    with pytest.raises(ValueError, match="cannot be imported again by name"):
        RunNetwork(network=lambda num_classes: None).describe(3)
    with pytest.raises(ValueError, match="'json:no_such' cannot be imported"):
        RunNetwork(network="json:no_such").describe(3)

"""The package in a notebook: no gin, no programs, data and state of the user."""

import concurrent.futures
import os
import random
import re

import numpy as np
import pytest
import tensorflow as tf
from processes import run

import adl_tf
from adl_tf.layers.convolution import require_cpu_kernels
from data_prep import convert_synthetic

CLASSES, SIZE = 3, 33
# Without convolutions on the edges, so that it is quick.
SPACE = adl_tf.SearchSpace(
    num_layers=2,
    num_blocks=1,
    filter_multiplier=2,
    num_levels=2,
    ops=("none", "skip_connect", "max_pool_3x3"),
)
GENOTYPE = {"path": [0, 1], "cell": [[[0, "skip_connect"], [1, "atrous_conv_3x3"]]]}
README = os.path.join(os.path.dirname(os.path.dirname(__file__)), "README.md")


def make_images(seed=0, size=2):
    """uint8 images and labels, as a user has them."""
    numbers = np.random.default_rng(seed)
    images = numbers.integers(0, 256, (size, SIZE, SIZE, 3), np.uint8)
    return images, numbers.integers(0, CLASSES, (size, SIZE, SIZE), np.uint8)


def make_pair(seed=0):
    images, labels = make_images(seed)
    return adl_tf.normalize(images), labels


def make_dict(seed=0):
    return dict(zip(("image", "label"), make_pair(seed)))


def stream(element):
    return tf.data.Dataset.from_tensors(element).repeat(2)


def make_search(optimizers=tf.keras.optimizers):
    model = adl_tf.AlternatingModel(adl_tf.Supernet(SPACE, CLASSES))
    model.compile(optimizers.SGD(0.1), optimizers.Adam(0.01))
    return model


def make_training(optimizers=tf.keras.optimizers):
    model = adl_tf.TrainingModel(adl_tf.DecodedNetwork(GENOTYPE, 2, CLASSES))
    model.compile(optimizers.Adam(0.01))
    return model


def values(variables):
    return [variable.numpy() for variable in variables]


def differ(before, variables):
    return any((old != new).any() for old, new in zip(before, values(variables)))


def refused(function, *arguments, **options):
    """The message of the ValueError that a call raises, which is one line."""
    with pytest.raises(ValueError) as error:
        function(*arguments, **options)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "make_batch, optimizers",
    [(make_pair, tf.keras.optimizers), (make_dict, tf.keras.optimizers.legacy)],
    ids=["pairs", "dicts"],
)
def test_training_fits_plain_batches(make_batch, optimizers):
    model = make_training(optimizers)
    before = values(model.network.trainable_variables)
    validation = stream(make_batch(1))
    history = model.fit(stream(make_batch()), validation_data=validation, verbose=0).history
    assert set(history) == {"loss", "miou", "val_loss", "val_miou"}
    assert np.isfinite(history["loss"][0]) and 0 <= history["val_miou"][0] <= 1
    assert differ(before, model.network.trainable_variables)


@pytest.mark.parametrize(
    "make_batch, optimizers",
    [(make_pair, tf.keras.optimizers), (make_dict, tf.keras.optimizers.legacy)],
    ids=["pairs", "dicts"],
)
def test_a_search_fits_plain_batches_and_decodes(make_batch, optimizers):
    model = make_search(optimizers)
    # The weights alone, in one graph; then both halves, in another.
    assert set(model.fit(stream(make_batch()), verbose=0).history) == {"loss", "miou"}
    weights = values(model.supernet.weight_variables)
    architecture = values(model.supernet.architecture_variables)
    halves = stream((make_batch(), make_batch(1)))
    history = model.fit(halves, validation_data=stream(make_batch(2)), verbose=0).history
    assert {"loss", "arch_loss", "miou", "val_loss", "val_miou"} == set(history)
    assert differ(weights, model.supernet.weight_variables)
    assert differ(architecture, model.supernet.architecture_variables)
    genotype, probability = model.supernet.decode()
    assert len(genotype.path) == 2 and 0 < probability <= 1
    assert adl_tf.DecodedNetwork(genotype, 2, CLASSES).num_classes == CLASSES


def test_training_fits_arrays_and_networks_without_shapes():
    images, labels = make_images(size=4)
    network = tf.keras.Sequential([tf.keras.layers.Conv2D(CLASSES, 1)])
    network.num_classes = CLASSES
    model = adl_tf.TrainingModel(network)
    model.compile(tf.keras.optimizers.SGD(0.1))
    history = model.fit(adl_tf.normalize(images), labels, batch_size=2, verbose=0).history
    assert np.isfinite(history["loss"][0])
    assert int(model.optimizer.iterations) == 2


def test_what_fit_cannot_take_is_one_line():
    search, training = make_search(), make_training()
    raw = make_images()
    for model in (search, training):
        assert "images are uint8" in refused(model.fit, stream(raw))
        assert "adl_tf.normalize" in refused(model.fit, *raw)
        assert "a batch is ['image']" in refused(model.fit, stream({"image": make_pair()[0]}))
        image, label = make_pair()
        assert "labels are float32 (2, 33, 33); they must be integers [B, H, W]" in refused(
            model.fit, stream((image, label.astype(np.float32)))
        )
        assert "labels are uint8 (2, 33, 33, 1)" in refused(
            model.fit, stream((image, label[..., None]))
        )
    assert "takes at most 1" in refused(training.fit, stream((make_pair(), make_pair())))
    sizes = tf.data.Dataset.from_generator(
        lambda: [make_pair()],
        output_signature=(
            tf.TensorSpec([None, None, None, 3]),
            tf.TensorSpec([None, None, None], tf.uint8),
        ),
    )
    assert refused(search.fit, sizes).startswith("Supernet: images of shape (None, None, None, 3)")


def test_networks_refuse_images_that_were_not_normalised():
    images, _ = make_images()
    network = adl_tf.DecodedNetwork(GENOTYPE, 2, CLASSES)
    for model in (
        network,
        adl_tf.DecodedBackbone(GENOTYPE, 2),
        adl_tf.Supernet(SPACE, CLASSES),
        adl_tf.build_network(adl_tf.NetworkDescription("deeplab_v3_plus_resnet50", 3, width=0.125)),
        adl_tf.Predictor(network),
    ):
        for wrong in (images, tf.constant(images, tf.int32)):
            assert refused(model, wrong).startswith(f"images are {wrong.dtype.name}, but networks")
    labels = adl_tf.Predictor(network)(adl_tf.normalize(images))
    assert labels.shape == images.shape[:3] and labels.dtype == tf.int32
    # The mixin is not made a functional model by the networks that are.
    assert adl_tf.Supernet(SPACE, CLASSES)(adl_tf.normalize(images)).shape[-1] == CLASSES


def test_a_genotype_is_what_the_user_has(tmp_path):
    genotype = adl_tf.load_genotype(GENOTYPE)
    path = tmp_path / "genotype.json"
    adl_tf.save_genotype(genotype, str(path), probability=0.5)
    found = {**GENOTYPE, "probability": 0.5, "genotype": str(path), "val_miou": 0.1}
    for source in (genotype, path, str(path), found):
        assert adl_tf.load_genotype(source) == genotype
        assert adl_tf.RunNetwork(source).describe(CLASSES).genotype == genotype
        network = adl_tf.DecodedNetwork(source, filter_multiplier=1, num_classes=CLASSES)
        assert network.backbone.genotype == genotype
    assert adl_tf.RunNetwork("auto_deeplab").describe(3).genotype.path[-1] == 1
    assert "genotype has no field 'cell'" in refused(adl_tf.load_genotype, {"path": [0]})
    assert "neither a file nor a preset" in refused(adl_tf.DecodedNetwork, "no_such", 1, CLASSES)


def test_the_supernet_says_which_images_it_needs():
    supernet = adl_tf.Supernet(SPACE, CLASSES)
    message = refused(supernet, tf.keras.Input((None, None, 3)))
    assert message.startswith("Supernet: images of shape (None, None, None, 3); height and width")
    assert "train it, or call it on images" in refused(supernet.decode)
    logits = supernet(tf.keras.Input((SIZE, SIZE, 3)))
    assert tuple(logits.shape) == (None, SIZE, SIZE, CLASSES)
    assert len(supernet.decode()[0].path) == 2


def test_a_run_leaves_the_process_as_it_was(tmp_path):
    """After other ops and outside of the main thread, as in a notebook."""
    convert_synthetic.build(str(tmp_path / "data"), num_train=4, num_val=1, height=32, width=32)
    tf.ones([]) + 1
    data = adl_tf.RunData(str(tmp_path / "data"), crop_size=17, batch_size=2)
    random.seed(5)
    np.random.seed(5)
    expected = random.Random(5).random(), np.random.RandomState(5).rand()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        found = pool.submit(
            adl_tf.run_gradient_search,
            str(tmp_path / "search"),
            data=data,
            space=SPACE,
            epochs=1,
            arch_start_epoch=0,
        ).result()
    assert found["arch_steps"] == 1
    assert (random.random(), np.random.rand()) == expected
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    genotype = adl_tf.load_genotype(found["genotype"])
    assert adl_tf.load_genotype(found) == genotype
    assert adl_tf.RunNetwork(found).describe(CLASSES).genotype == genotype


@pytest.fixture
def unchecked():
    """The machine's kernels are tried again."""
    require_cpu_kernels.cache_clear()
    yield
    require_cpu_kernels.cache_clear()


def test_missing_kernels_are_one_line(monkeypatch, unchecked):
    def missing(*_, **__):
        raise tf.errors.UnimplementedError(None, None, "grouped convolutions")

    with monkeypatch.context() as patch:
        patch.setattr(tf.raw_ops, "Conv2DBackpropInput", missing)
        line = "TensorFlow runs without oneDNN, .* unset TF_ENABLE_ONEDNN_OPTS, and import adl_tf"
        assert re.match(line, refused(adl_tf.Supernet(SPACE, CLASSES).build, (1, SIZE, SIZE, 3)))
    training = make_training()
    with monkeypatch.context() as patch:
        patch.setattr(tf.raw_ops, "Conv2DBackpropInput", missing)
        assert re.match(line, refused(training.build, (1, SIZE, SIZE, 3)))


def test_kernels_are_tried_inside_graphs_and_on_devices(two_devices, unchecked):
    tf.function(require_cpu_kernels)()
    require_cpu_kernels.cache_clear()
    with two_devices.scope():
        require_cpu_kernels()
    require_cpu_kernels.cache_clear()
    two_devices.run(tf.function(lambda: require_cpu_kernels() or tf.ones([])))
    assert require_cpu_kernels.cache_info().currsize == 1


def test_without_onednn_it_trains_or_says_why_not(tmp_path, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    program = f"""
import tensorflow as tf
import adl_tf
space = adl_tf.SearchSpace(num_layers=1, num_blocks=1, filter_multiplier=2, num_levels=1)
model = adl_tf.AlternatingModel(adl_tf.Supernet(space, 3))
model.compile(tf.keras.optimizers.SGD(0.1), tf.keras.optimizers.Adam(0.01))
batch = tf.zeros([2, {SIZE}, {SIZE}, 3]), tf.zeros([2, {SIZE}, {SIZE}], tf.int32)
try:
    model.fit(tf.data.Dataset.from_tensors((batch, batch)), verbose=0)
except ValueError as error:
    print(error)
else:
    print("trained")
"""
    result = run(["-c", program], tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch("trained|TensorFlow runs without oneDNN.*", result.stdout.strip())


def test_the_example_in_the_readme(tmp_path, monkeypatch):
    with open(README, encoding="utf-8") as file:
        section = file.read().split("## As a library")[1].split("\n## ")[0]
    (code,) = re.findall("```python\n(.*?)```", section, re.DOTALL)
    (tmp_path / "runs" / "search").mkdir(parents=True)
    adl_tf.save_genotype(
        adl_tf.load_genotype(GENOTYPE), str(tmp_path / "runs" / "search" / "genotype.json")
    )
    monkeypatch.chdir(tmp_path)
    images, labels = make_images()
    names = {"images": images, "labels": labels}
    exec(code, names)
    assert names["predictions"].shape == labels.shape
    assert len(names["model"].history.history["loss"]) == 2

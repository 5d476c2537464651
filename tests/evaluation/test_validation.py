"""A validation inside a training is the evaluation of the same weights, to the last digit."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from adl_tf.data.reader import RecordReader
from adl_tf.distribution.strategy import distribute
from adl_tf.evaluation.network_evaluation import evaluate_network
from adl_tf.models.registry import NetworkDescription, build_network, write_network_description
from adl_tf.models.weights import save_weights
from adl_tf.runs.data import validation_stream
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.training.devices import precision_policy
from adl_tf.training.training_model import TrainingModel
from data_prep import convert_folder
from data_prep.run import run_conversion

CLASSES = 3
SIZES = {
    "equal": [(33, 49)] * 3,
    "odd and even": [(34, 49), (33, 48), (34, 48)],
    "one much larger": [(33, 33), (33, 33), (129, 161), (33, 33), (40, 33)],
}


def make_records(root, sizes):
    for part in ("images", "masks"):
        for split in ("train", "val"):
            (root / "in" / part / split).mkdir(parents=True)
    for index, size in enumerate([*sizes, (33, 33)]):
        split = "val" if index < len(sizes) else "train"
        random = np.random.default_rng(index)
        mask = random.integers(0, CLASSES, (4, 4), np.uint8)
        mask = np.asarray(Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST))
        pixels = 80 * mask[..., None] + random.integers(0, 80, (*size, 3), np.uint8)
        Image.fromarray(pixels.astype(np.uint8)).save(
            root / "in" / "images" / split / f"{index}.png"
        )
        Image.fromarray(mask).save(root / "in" / "masks" / split / f"{index}.png")
    (root / "in" / "classes.txt").write_text("a\nb\nc\n")
    run_conversion(convert_folder.plan(str(root / "in")), str(root / "records"), num_shards=1)
    return str(root / "records")


def make_network():
    """With image pooling, and with statistics that let signals through."""
    genotype = Genotype((0,), [[(0, "skip_connect"), (1, "sep_conv_3x3")]])
    sizes = NetworkSizes(stem=(4, 4, 4), aspp=8, low_level=4, decoder=8)
    description = NetworkDescription("decoded", CLASSES, genotype, 2, sizes=sizes)
    tf.keras.utils.set_random_seed(5)
    network = build_network(description)
    for layer in network.submodules:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.moving_variance.assign(tf.fill(layer.moving_variance.shape, 1e-2))
    return description, network


def validate(model, reader, strategy=None, **options):
    model.compile(tf.keras.optimizers.SGD(), **options)
    strategy = strategy or tf.distribute.get_strategy()
    data = distribute(strategy, lambda shard: validation_stream(reader, shard=shard))
    steps = None
    if strategy.num_replicas_in_sync > 1:
        steps = -(-reader.num_examples // strategy.num_replicas_in_sync)
    return model.evaluate(data, steps=steps, verbose=0, return_dict=True)["miou"]


@pytest.mark.parametrize("sizes", SIZES)
def test_validation_equals_evaluation(sizes, tmp_path, two_devices):
    records = make_records(tmp_path, SIZES[sizes])
    description, network = make_network()
    run = tmp_path / "run"
    run.mkdir()
    write_network_description(description, str(run))
    save_weights(network, str(run), "best")
    expected = evaluate_network(str(run), records, num_pictures=0)["miou"]
    assert 0.05 < expected < 1

    reader = RecordReader(records, "val")
    assert (reader.common_size is None) == (sizes != "equal")
    model = TrainingModel(network)
    assert validate(model, reader) == expected
    if sizes != "one much larger":
        return
    compiled = validate(model, reader, jit_compile=True)
    assert compiled == expected and model.jit_compile
    with two_devices.scope():
        _, copy = make_network()
        assert validate(TrainingModel(copy), reader, two_devices) == expected


def test_a_network_of_16_bits_is_scored_as_it_is_evaluated(tmp_path):
    records = make_records(tmp_path, SIZES["odd and even"])
    with precision_policy("mixed_bfloat16"):
        description, network = make_network()
    _, scored = make_network()
    for variable in scored.variables:
        variable.assign(tf.zeros_like(variable))
    run = tmp_path / "run"
    run.mkdir()
    write_network_description(description, str(run))
    save_weights(network, str(run), "best")
    expected = evaluate_network(str(run), records, num_pictures=0)["miou"]
    model = TrainingModel(network, scored=scored)
    assert validate(model, RecordReader(records, "val")) == expected


def test_padding_changes_the_score(tmp_path):
    """What the search's supernet scores is not what an evaluation would: it needs one size."""
    reader = RecordReader(make_records(tmp_path, SIZES["one much larger"]), "val")
    shapes = {batch["image"].shape for batch in validation_stream(reader, padded=True)}
    assert shapes == {(1, 129, 161, 3)}
    own = [tuple(batch["image"].shape[1:3]) for batch in validation_stream(reader)]
    assert own == SIZES["one much larger"]

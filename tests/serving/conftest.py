"""One network and one export of it for all tests of serving."""

import pytest
from tiny_network import write_network

from adl_tf.models.weights import load_network
from adl_tf.serving.export import export_network


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("network") / "run")
    write_network(directory)
    return directory


@pytest.fixture(scope="session")
def network(model_dir):
    return load_network(model_dir)


@pytest.fixture(scope="session")
def export(model_dir, tmp_path_factory):
    """What `export_network` returned for an export of any size, with all outputs."""
    output_dir = str(tmp_path_factory.mktemp("export"))
    return export_network(model_dir, output_dir, outputs=("labels", "probabilities", "logits"))

import pytest
from tiny_dataset import encode, write_dataset


@pytest.fixture
def dataset_dir(tmp_path):
    """10 examples in train, 4 in val, all good."""
    return write_dataset(
        tmp_path, train=[encode(i) for i in range(10)], val=[encode(i) for i in range(4)]
    )

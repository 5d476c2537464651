import pytest

from data_prep import convert_synthetic, verify


@pytest.fixture
def dataset_dir(tmp_path):
    convert_synthetic.build(tmp_path, num_train=4, num_val=2, height=32, width=48)
    return tmp_path


def test_good_set(dataset_dir):
    assert verify.verify(str(dataset_dir)) == {"examples": 6, "bad": 0}


def test_damage_is_named_by_shard_and_record(dataset_dir, capsys):
    path = dataset_dir / "train-00001-of-00002.tfrecord"
    content = bytearray(path.read_bytes())
    content[500] ^= 1
    path.write_bytes(content)
    assert verify.verify(str(dataset_dir)) == {"examples": 6, "bad": 2}
    errors = capsys.readouterr().err
    assert f"bad: {path}: checksum differs from the converter's" in errors
    assert f"bad: {path}: record 0: corrupt TFRecord framing" in errors


def test_foreign_records(dataset_dir):
    (dataset_dir / "dataset.json").unlink()
    with pytest.raises(FileNotFoundError, match="num_classes"):
        verify.verify(str(dataset_dir))
    assert verify.verify(str(dataset_dir), num_classes=8) == {"examples": 6, "bad": 0}
    assert verify.verify(str(dataset_dir), num_classes=2)["bad"] == 6
    for shard in dataset_dir.glob("*.tfrecord"):
        shard.unlink()
    with pytest.raises(FileNotFoundError, match="no shards such as train-00000-of-00004 there"):
        verify.verify(str(dataset_dir), num_classes=8)


def test_missing_shard(dataset_dir):
    (dataset_dir / "val-00000-of-00002.tfrecord").unlink()
    with pytest.raises(
        FileNotFoundError, match="val-00000-of-00002.tfrecord: this shard is missing"
    ):
        verify.verify(str(dataset_dir))

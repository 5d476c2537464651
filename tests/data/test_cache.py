import numpy as np
from batches import OPTIONS, assert_equal, take
from tiny_dataset import BAD_RECORDS, encode, make_pair, write_dataset

from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import evaluation_stream, train_stream


def test_cache_changes_nothing_but_the_time(tmp_path):
    records = [encode(i) for i in range(5)] + list(BAD_RECORDS.values())
    write_dataset(tmp_path, train=records)
    bad = len(BAD_RECORDS)
    plain = RecordReader(tmp_path, "train", max_bad_records=bad)
    cached = RecordReader(tmp_path, "train", max_bad_records=bad, cache_dir=tmp_path / "cache")
    expected = take(train_stream(plain, **OPTIONS), 8)
    assert_equal(take(train_stream(cached, **OPTIONS), 8), expected)
    assert_equal(take(evaluation_stream(cached), 9), take(evaluation_stream(plain), 9))
    assert cached.find_fault(5) == plain.find_fault(5)

    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    RecordReader(tmp_path, "train", max_bad_records=bad, cache_dir=tmp_path / "cache")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()} == files


def test_cache_notices_new_shards(tmp_path):
    for index in (1, 2):
        write_dataset(tmp_path, val=[encode(index)])
        reader = RecordReader(tmp_path, "val", cache_dir=tmp_path / "cache")
        (batch,) = take(evaluation_stream(reader), 2)
        np.testing.assert_array_equal(batch["label"][0], make_pair(index)[1])


def test_what_a_killed_process_left_is_removed(tmp_path):
    write_dataset(tmp_path, val=[encode(1)])
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / ".val.decoded-abcdefgh.tmp").touch()
    RecordReader(tmp_path, "val", cache_dir=tmp_path / "cache")
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    assert ".lock" in names and all(name.endswith((".lock", ".decoded")) for name in names)

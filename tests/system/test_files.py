"""Files are written completely or not at all, however their writer ends."""

import doctest
import os
import signal
import subprocess
import sys

import pytest

from adl_tf.system import files


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_example_of_the_documentation():
    failed, attempted = doctest.testmod(files)
    assert failed == 0 and attempted > 0


def test_file_is_replaced_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with files.replacing(str(path)) as temporary:
        assert os.path.dirname(temporary) == str(tmp_path) and os.path.getsize(temporary) == 0
        with open(temporary, "w") as file:
            file.write("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and names(tmp_path) == ["a.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("old", ["old", None])
def test_error_leaves_the_old_file_and_no_temporary(tmp_path, error, old):
    path = tmp_path / "a.txt"
    if old:
        path.write_text(old)
    with pytest.raises(error), files.replacing(str(path)) as temporary:
        with open(temporary, "w") as file:
            file.write("half")
        raise error
    assert names(tmp_path) == (["a.txt"] if old else [])
    assert not old or path.read_text() == old


def test_block_may_remove_the_temporary_itself(tmp_path):
    with pytest.raises(FileNotFoundError), files.replacing(str(tmp_path / "a")) as temporary:
        os.unlink(temporary)
    assert names(tmp_path) == []


def test_writer_killed_leaves_the_old_file_and_a_temporary_to_remove(tmp_path):
    path = tmp_path / "a [1].txt"
    path.write_text("old")
    program = f"""
import os, signal
from adl_tf.system import files
with files.replacing({str(path)!r}) as temporary, open(temporary, "w") as file:
    print("half", file=file, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    process = subprocess.run([sys.executable, "-c", program])
    assert process.returncode == -signal.SIGKILL and path.read_text() == "old"
    assert len(names(tmp_path)) == 2
    files.remove_temporaries(str(tmp_path))
    assert names(tmp_path) == ["a [1].txt"]


def test_only_temporaries_are_removed(tmp_path):
    kept = [".hidden", ".hidden.tmp", "a-12345678.tmp", "dataset.json"]
    for name in kept:
        (tmp_path / name).write_text("")
    files.remove_temporaries(str(tmp_path))
    assert names(tmp_path) == kept


def test_missing_directory_is_an_error_that_names_the_file(tmp_path):
    path = str(tmp_path / "nowhere" / "a.txt")
    with pytest.raises(FileNotFoundError) as error, files.replacing(path):
        pass
    assert error.value.filename == path


def test_path_without_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.write_text("é", "a.txt")
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == "é"


def test_json_reads_back(tmp_path):
    content = {"a": [1, 2.5, None], "b": "é"}
    files.write_json(content, str(tmp_path / "a.json"))
    assert files.read_json(str(tmp_path / "a.json")) == content
    assert (tmp_path / "a.json").read_text().endswith("}\n")
    with pytest.raises(TypeError):
        files.write_json({"a": object()}, str(tmp_path / "a.json"))
    assert files.read_json(str(tmp_path / "a.json")) == content


def test_what_is_not_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match=r"a\.json: not JSON"):
        files.read_json(str(tmp_path / "a.json"))
    with pytest.raises(FileNotFoundError):
        files.read_json(str(tmp_path / "b.json"))


def test_folders_that_killed_processes_left_are_removed_and_those_of_running_ones_stay(tmp_path):
    program = (
        "import os, sys\n"
        "from adl_tf.system import files\n"
        "with files.staging_folder(sys.argv[1], 'export') as folder:\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    other = process.stdout.readline().strip()
    with files.staging_folder(str(tmp_path), "export"):
        assert os.path.isdir(other)
    process.kill()
    process.communicate()
    with files.staging_folder(str(tmp_path), "export") as folder:
        assert not os.path.exists(other)
        os.rename(folder, tmp_path / "1")
    assert names(tmp_path) == ["1"]
    with pytest.raises(ValueError), files.staging_folder(str(tmp_path), "export"):
        raise ValueError
    assert names(tmp_path) == ["1"]

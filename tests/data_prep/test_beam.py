"""Beam is an extra; where it is installed, the same records must come out of it."""

import functools
import json

import forked
import pytest
from processes import run
from test_convert_folder import make_folder

from data_prep import convert_folder, verify
from data_prep.errors import ConversionError
from data_prep.run import run_conversion

OPTIONS = ["--num_train=12", "--num_val=3", "--height=32", "--width=64", "--num_shards=3"]


def contents(directory):
    return {p.name: p.read_bytes() for p in directory.glob("*") if p.is_file()}


def test_pipeline_writes_the_same_bytes(tmp_path):
    pytest.importorskip("apache_beam")
    direct, piped = tmp_path / "direct", tmp_path / "piped"
    converter = "data_prep.convert_synthetic"
    forked.run(converter, [f"--output_dir={direct}", "--num_workers=1", *OPTIONS])
    beam_options = "--beam_options=--runner=DirectRunner"
    process = run(["-m", converter, f"--output_dir={piped}", beam_options, *OPTIONS], tmp_path)
    assert process.returncode == 0, process.stderr
    summary = json.loads(process.stdout.splitlines()[-1])
    assert summary == {"examples": {"train": 12, "val": 3}, "shards": 6, "skipped": 0}
    assert contents(piped) == contents(direct)
    assert verify.verify(str(piped)) == {"examples": 15, "bad": 0}


def test_bad_examples_are_counted(tmp_path):
    pytest.importorskip("apache_beam")
    from data_prep import beam

    folder = make_folder(tmp_path / "in")
    (tmp_path / "in/masks/4.png").write_text("damaged")

    def convert(max_errors):
        return run_conversion(
            convert_folder.plan(folder),
            str(tmp_path / "out"),
            write=functools.partial(beam.write, options=["--runner=DirectRunner"]),
            num_shards=2,
            max_errors=max_errors,
        )

    with pytest.raises(ConversionError, match=r"masks/4\.png: not an image file"):
        convert(max_errors=0)
    assert not (tmp_path / "out/dataset.json").exists()
    assert convert(max_errors=1)["skipped"] == 1
    assert sum(convert(max_errors=1)["examples"].values()) == 9


def test_without_beam_one_line_says_what_to_install(tmp_path):
    (tmp_path / "apache_beam.py").write_text("raise ImportError('No module named apache_beam')")
    arguments = [f"--output_dir={tmp_path / 'out'}", "--beam_options="]
    outcome = forked.run("data_prep.convert_synthetic", arguments, cwd=str(tmp_path))
    assert "pip install 'adl-tf[beam]'" in outcome.error

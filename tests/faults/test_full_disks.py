"""No room at each stage: one line with the file, and the same command goes on with room."""

import os
import shutil
import subprocess

import commands
import forked
import pytest

# Bytes that a file may have, as a quota; and kilobytes of a whole device, where root can make one.
QUOTAS = (1000, 20000)
DEVICES = (8, 40, 120)
PHOTO = os.path.join(os.path.dirname(__file__), "photo.png")


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("exported"))
    outcome = forked.run("adl_tf.export", [f"--model_dir={trained}", f"--output_dir={directory}"])
    assert outcome.status == 0
    return directory


def programs(streets, trained, exported, photos):
    """By name: module, and arguments for an output directory."""
    return {
        "train": ("adl_tf.train", lambda out: commands.train(streets, out)),
        "cached_train": ("adl_tf.train", lambda out: commands.cached_train(streets, out)),
        "search": ("adl_tf.search", lambda out: commands.search(streets, out)),
        "random_search": ("adl_tf.search", lambda out: commands.random_search(streets, out)),
        "evaluate": (
            "adl_tf.evaluate",
            lambda out: [*commands.evaluate(trained), f"--output_dir={out}"],
        ),
        "export": (
            "adl_tf.export",
            lambda out: [f"--model_dir={trained}", f"--output_dir={out}"],
        ),
        "predict": (
            "adl_tf.predict",
            lambda out: [f"--export_dir={exported}", f"--output_dir={out}", PHOTO],
        ),
        "convert": (
            "data_prep.convert_synthetic",
            lambda out: [f"--output_dir={out}", "--num_workers=1"],
        ),
        "auto": ("quick_auto", lambda out: commands.auto(photos, out)),
    }


def assert_one_line(outcome, out, place):
    message = outcome.error
    assert "make room" in message and out in message, f"{place}: {message}"
    assert ".tmp" not in message, f"{place}: {message}"


@pytest.mark.sampled
@pytest.mark.parametrize(
    "name",
    [
        "train",
        pytest.param("cached_train", marks=pytest.mark.whole),
        pytest.param("search", marks=pytest.mark.whole),
        pytest.param("random_search", marks=pytest.mark.whole),
        "evaluate",
        "export",
        pytest.param("predict", marks=pytest.mark.whole),
        "convert",
        pytest.param("auto", marks=pytest.mark.whole),
    ],
)
def test_quotas(name, streets, trained, exported, photos, tmp_path, request, count):
    module, arguments = programs(streets, trained, exported, photos)[name]
    quotas = QUOTAS if request.config.getoption("whole") else QUOTAS[:1]
    if name in ("evaluate", "export"):  # Small files are written elsewhere.
        quotas = (20000, 60000)
    tried = 0
    for quota in quotas:
        out = str(tmp_path / str(quota))
        outcome = forked.run(module, arguments(out), largest_file=quota)
        if outcome.status == 0:
            continue  # It writes nothing that large.
        assert_one_line(outcome, out, f"{name} with files of at most {quota} bytes")
        left = [f for f in os.listdir(out) if f.endswith(".tmp")] if os.path.exists(out) else []
        assert not left
        again = forked.run(module, arguments(out))
        assert again.status == 0, again.stderr[-3000:]
        tried += 1
        shutil.rmtree(out)
    assert tried
    count("full disks", tried)


@pytest.fixture
def device(tmp_path):
    """Makes small devices; skips where only root could."""
    mounted = []

    def make(kilobytes):
        folder = tmp_path / f"device_{kilobytes}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("needs root, to make a device")
        mounted.append(folder)
        return str(folder / "out")

    yield make
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.sampled
@pytest.mark.parametrize("name", ["train", "evaluate", "convert"])
def test_devices(name, streets, trained, exported, photos, device, request, count):
    module, arguments = programs(streets, trained, exported, photos)[name]
    sizes = DEVICES if request.config.getoption("whole") else DEVICES[1:2]
    for size in sizes:
        out = device(size)
        outcome = forked.run(module, arguments(out))
        if outcome.status == 0:
            continue
        assert_one_line(outcome, out, f"{name} on a device of {size} kB")
        folder = os.path.dirname(out)
        subprocess.run(["mount", "-o", "remount,size=100m", folder], check=True)
        again = forked.run(module, arguments(out))
        assert again.status == 0, again.stderr[-3000:]
        count("full disks", 1)

"""Every program ends with the command that users need next, filled in, on stderr."""

import shlex

import forked
import gin
import pytest

from adl_tf.programs import train_command

# Arguments of the programs, in the order in which they follow one another.
TRAIN = [
    *("--gin_file=train.gin", "--genotype=random.json", "--model_dir=trained"),
    *("--gin_param=DATASET_DIR = 'streets'", "--gin_param=STEPS = 2"),
    *("--gin_param=CROP_SIZE = 33", "--gin_param=BATCH_SIZE = 2"),
    "--gin_param=FILTER_MULTIPLIER = 2",
]
SAMPLE = [
    *("--gin_file=search.gin", "--gin_param=NUM_LAYERS = 2", "--gin_param=NUM_BLOCKS = 1"),
    *("--gin_param=DATASET_DIR = 'streets'", "--filter_multiplier=2", "--output=random.json"),
]
STREETS = ["--output_dir=streets", "--num_train=4", "--num_val=2", "--height=32", "--width=48"]


def test_f_is_given_where_the_genotype_file_does_not_have_it():
    gin.parse_config("DATASET_DIR = 'streets'\nFILTER_MULTIPLIER = 8\n")
    try:
        found = {"genotype": "g.json", "filter_multiplier": 6}
        assert "--gin_param=FILTER_MULTIPLIER = 6" in train_command(found, "run")
        decoded = {"genotype": "g.json", "probability": 0.1}
        assert "--gin_param=FILTER_MULTIPLIER = 20" in train_command(decoded, "run")
        assert train_command({**found, "sizes": {}}, "run") == [
            *("adl_tf.train", "--gin_file=recommended_train.gin"),
            *("--gin_param=DATASET_DIR = 'streets'", "--genotype=g.json", "--model_dir=run"),
        ]
    finally:
        gin.clear_config()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("programs")


def next_command(module, arguments, folder):
    process = forked.run(module, arguments, cwd=str(folder))
    assert process.status == 0, process.stderr
    (line,) = [text for text in process.stderr.splitlines() if text.startswith("next: ")]
    python, flag, *command = shlex.split(line[len("next: ") :])
    assert (python, flag) == ("python", "-m")
    return command


def test_one_leads_to_the_other(folder):
    assert next_command("data_prep.convert_synthetic", STREETS, folder) == [
        *("data_prep.verify", "streets"),
    ]
    module, *arguments = next_command("data_prep.verify", ["streets"], folder)
    assert module == "adl_tf.search" and "--gin_param=DATASET_DIR = 'streets'" in arguments
    module, *arguments = next_command("adl_tf.sample", SAMPLE, folder)
    assert module == "adl_tf.train"
    assert arguments == [
        "--gin_file=recommended_train.gin",
        "--gin_param=DATASET_DIR = 'streets'",
        "--gin_param=FILTER_MULTIPLIER = 2",
        "--genotype=random.json",
        "--model_dir=runs/random",
    ]
    module, *arguments = next_command("adl_tf.train", TRAIN, folder)
    assert (module, arguments) == ("adl_tf.evaluate", ["--model_dir=trained"])
    module, *arguments = next_command(module, arguments, folder)
    assert module == "adl_tf.export"
    module, *arguments = next_command(module, arguments, folder)
    assert module == "adl_tf.predict" and arguments[-1] == "IMAGE-or-FOLDER"


@pytest.mark.parametrize(
    "module, names",
    [
        ("adl_tf.search", ["gin_file", "gin_param", "[no]gin_imports", "model_dir"]),
        (
            "data_prep.convert_folder",
            ["input_dir", "output_dir", "num_shards", "num_workers", "max_errors", "beam_options"],
        ),
    ],
)
def test_help_shows_all_flags(module, names, folder):
    process = forked.run(module, ["--help"], cwd=str(folder))
    assert all(f"  --{name}:" in process.stdout for name in names), process.stdout

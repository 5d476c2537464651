"""The programs that count and sample."""

import forked

from adl_tf.space.genotype import load_genotype
from data_prep import convert_synthetic

SIZE = ("--num_classes=3", "--image_size=65,97")
SMALL = ("--gin_param=SearchSpace.num_layers = 3", "--gin_param=SearchSpace.num_blocks = 2")


def test_sampled_genotype_is_what_the_profile_counts(tmp_path):
    path = str(tmp_path / "new" / "random.json")
    sample = ["--seed=3", f"--output={path}", *SMALL, *SIZE]
    result = forked.run("adl_tf.sample", [*sample, "--filter_multiplier=4"], cwd=str(tmp_path))
    assert result.status == 0, result.stderr
    sampled = result.result
    genotype = load_genotype(path)
    assert [sampled["path"], sampled["cell"]] == [*genotype.to_dict().values()]

    profile = ["--table", "--filter_multiplier=4", *SIZE]
    result = forked.run("adl_tf.profile", [*profile, f"--genotype={path}"], cwd=str(tmp_path))
    assert result.status == 0, result.stderr
    counted = result.result
    for name in ("parameters", "multi_adds", "activations", "multi_adds_by_part"):
        assert counted[name] == sampled[name]
    rows = [line.split() for line in result.stderr.splitlines() if "decoder" in line]
    assert len(rows) == 4  # Projection, two convolutions, classifier.
    total = sum(
        int(line.split()[0].replace(",", "")) for line in result.stderr.splitlines() if "%" in line
    )
    assert total == counted["multi_adds"]


def test_budget_out_of_reach_and_bad_sizes(tmp_path):
    budget = ("--multi_adds=0.001", "--attempts=1")
    result = forked.run("adl_tf.sample", [*budget, *SMALL, *SIZE], cwd=str(tmp_path))
    assert result.status == 1
    assert "error: --multi_adds, in billions: none of 1 genotypes is within 5% of 0.001;" in (
        result.stderr
    )
    assert not list(tmp_path.iterdir())
    result = forked.run("adl_tf.sample", ["--multi_adds=0"], cwd=str(tmp_path))
    assert result.status == 1 and "flag --multi_adds=0" in result.stderr
    result = forked.run("adl_tf.profile", ["--image_size=1025"], cwd=str(tmp_path))
    assert result.status == 1
    assert "error: image size '1025': give height,width such as 1025,2049." in result.stderr


def test_gin_files_of_a_search_and_sizes_around_the_cells(tmp_path):
    search = ["--gin_file=camvid_search.gin", "--gin_param=NUM_LAYERS = 5"]
    search += ["--gin_param=NetworkSizes.aspp = 16", *SIZE]
    result = forked.run("adl_tf.sample", [*search], cwd=str(tmp_path))
    assert result.status == 0, result.stderr
    sampled = result.result
    assert len(sampled["path"]) == 5
    profile = ["--genotype=genotype.json"]
    result = forked.run("adl_tf.profile", [*profile, *search], cwd=str(tmp_path))
    assert result.status == 0, result.stderr
    counted = result.result
    assert counted["multi_adds_by_part"] == sampled["multi_adds_by_part"]
    result = forked.run("adl_tf.profile", [*profile, *SIZE], cwd=str(tmp_path))
    larger = result.result
    assert larger["multi_adds_by_part"]["cells"] == counted["multi_adds_by_part"]["cells"]
    assert larger["multi_adds_by_part"]["head"] > counted["multi_adds_by_part"]["head"]


def test_a_search_is_estimated_from_a_few_of_its_steps(tmp_path):
    convert_synthetic.build(tmp_path / "streets", num_train=12, num_val=5, height=32, width=48)
    bindings = (
        f"DATASET_DIR = {str(tmp_path / 'streets')!r}",
        "CROP_SIZE = 33",
        "BATCH_SIZE = 2",
        "EPOCHS = 7",
        "ARCH_START_EPOCH = 3",
        "NUM_LAYERS = 2",
        "NUM_BLOCKS = 1",
        "FILTER_MULTIPLIER = 2",
        "SearchSpace.num_levels = 2",
        "NetworkSizes.stem = (4, 4, 4)",
    )
    search = ["--search", "--gin_file=camvid_search.gin", *(f"--gin_param={b}" for b in bindings)]
    outcome = forked.run("adl_tf.profile", search, cwd=str(tmp_path))
    assert outcome.status == 0, outcome.stderr
    result = outcome.result
    # Half of the 12 images are trainA: 3 steps an epoch.
    assert (result["weight_steps"], result["arch_steps"]) == (7 * 3, 4 * 3)
    epochs = 3 * result["weight_epoch"] + 4 * result["alternating_epoch"]
    assert result["hours"] * 3600 >= epochs > 0 and result["memory"] > 0.1
    assert "7 epochs of 3 steps, 4 of them alternating" in outcome.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"streets"}

    random = [*search, "--gin_param=search.method = @run_random_search"]
    outcome = forked.run("adl_tf.profile", random, cwd=str(tmp_path))
    assert "--search estimates searches by gradients, not search.method" in outcome.error

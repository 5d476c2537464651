"""Counting and sampling as real processes."""

import json

from processes import run

from adl_tf.space.genotype import load_genotype

SIZE = ("--num_classes=3", "--image_size=65,97")
SMALL = ("--gin_param=SearchSpace.num_layers = 3", "--gin_param=SearchSpace.num_blocks = 2")


def test_sampled_genotype_is_what_the_profile_counts(tmp_path):
    path = str(tmp_path / "new" / "random.json")
    sample = ["-m", "adl_tf.sample", "--seed=3", f"--output={path}", *SMALL, *SIZE]
    result = run([*sample, "--filter_multiplier=4"], tmp_path)
    assert result.returncode == 0, result.stderr
    sampled = json.loads(result.stdout.splitlines()[-1])
    genotype = load_genotype(path)
    assert [sampled["path"], sampled["cell"]] == [*genotype.to_dict().values()]

    profile = ["-m", "adl_tf.profile", "--table", "--filter_multiplier=4", *SIZE]
    result = run([*profile, f"--genotype={path}"], tmp_path)
    assert result.returncode == 0, result.stderr
    counted = json.loads(result.stdout.splitlines()[-1])
    assert counted["multi_adds"] == sampled["multi_adds"]
    rows = [line.split() for line in result.stderr.splitlines() if "decoder" in line]
    assert len(rows) == 4  # Projection, two convolutions, classifier.
    total = sum(
        int(line.split()[0].replace(",", "")) for line in result.stderr.splitlines() if "%" in line
    )
    assert total == counted["multi_adds"]


def test_budget_out_of_reach_and_bad_sizes(tmp_path):
    budget = ("--multi_adds=0.001", "--attempts=1")
    result = run(["-m", "adl_tf.sample", *budget, *SMALL, *SIZE], tmp_path)
    assert result.returncode == 1
    assert "none of 1 genotypes is within 5% of 0.001 billion Multi-Adds" in result.stderr
    assert not list(tmp_path.iterdir())
    result = run(["-m", "adl_tf.sample", "--multi_adds=0"], tmp_path)
    assert result.returncode == 1 and "flag --multi_adds=0" in result.stderr
    result = run(["-m", "adl_tf.profile", "--image_size=1025"], tmp_path)
    assert result.returncode == 1
    assert "error: image size '1025': give height,width such as 1025,2049." in result.stderr

"""Our function against the reference's, without its code.

`reference_logits.npz` was written by benchmarks/reference_function.py --golden, out of the
reference network with the same variables.
"""

import importlib.util
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).parents[2]


def load_benchmark():
    path = ROOT / "benchmarks" / "reference_function.py"
    spec = importlib.util.spec_from_file_location("reference_function", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_logits_are_the_references():
    benchmark = load_benchmark()
    outputs, _ = benchmark.run_ours(
        benchmark.TINY, benchmark.TINY_FILTERS, benchmark.TINY_CLASSES, benchmark.TINY_SIZE
    )
    with np.load(pathlib.Path(__file__).with_name("reference_logits.npz")) as file:
        expected = file["logits"]
    difference = np.abs(outputs["logits"][0] - expected).max()
    assert difference < 1e-3 * np.sqrt(np.mean(expected**2))


def test_compared_genotypes_have_pooling_skip_and_fitting_paths():
    benchmark = load_benchmark()
    for genotype in benchmark.random_genotypes(2):
        assert genotype.path[:3] == (0, 0, 0) and 0 not in genotype.path[3:]
        ops = {op for block in genotype.cell for _, op in block}
        assert {"max_pool_3x3", "avg_pool_3x3", "skip_connect"} <= ops

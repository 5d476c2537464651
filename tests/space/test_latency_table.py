"""Latencies from a table that is made up, so that the right values are known."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_latency import made_up, time_of

from adl_tf.space.budget import Budget
from adl_tf.space.genotype import Genotype
from adl_tf.space.latency import Coefficients, LatencyTable, all_layers, layer_key
from adl_tf.space.layout import CONVOLUTION, DEPTHWISE, ELEMENTWISE, Primitive, network_layout
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace

TABLE = made_up()
CONSTANT = Coefficients(constant=0.5)


@given(
    st.sampled_from(sorted(all_layers())),
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 400),
    st.integers(1, 400),
)
@settings(max_examples=200, deadline=None)
def test_exact_where_time_is_linear_in_each_size(key, height, width, channels, filters):
    """Between what was measured, below it and beyond."""
    primitive = all_layers()[key]
    size = height * primitive.rate, width * primitive.rate  # Whole phases.
    primitive = primitive._replace(size=size, channels=channels)
    primitive = primitive._replace(filters=filters if primitive.kind == CONVOLUTION else channels)
    assert TABLE.kernel_milliseconds(primitive) == pytest.approx(time_of(primitive), rel=1e-6)


@given(st.integers(0, 2**31), st.sampled_from(["size", "channels", "filters"]))
@settings(max_examples=50, deadline=None)
def test_noise_does_not_make_larger_kernels_faster(seed, grown):
    random = np.random.default_rng(seed)
    table = made_up(lambda primitive: time_of(primitive) * random.uniform(1, 3), lanes=16)
    sizes = {
        "size": [(side, side) for side in (1, 9, 40, 41, 200)],
        "channels": [1, 16, 17, 64, 500],
        "filters": [1, 16, 17, 64, 500],
    }
    start = Primitive(CONVOLUTION, (30, 30), 24, 24, 3)
    times = [table.kernel_milliseconds(start._replace(**{grown: x})) for x in sizes[grown]]
    assert times == sorted(times) and min(times) >= 0


def test_filters_fill_whole_vectors():
    table = made_up(lanes=16)
    for kind in (CONVOLUTION, DEPTHWISE):
        few = Primitive(kind, (30, 30), 17, 17, 3)
        times = [
            table.kernel_milliseconds(few._replace(filters=count)) for count in (16, 17, 32, 33)
        ]
        assert times[0] < times[1] == times[2] < times[3]


def test_taps_outside_of_the_image_take_no_time():
    """With a rate beyond the image, only the middle of a 3x3 kernel meets it."""
    dense = Primitive(CONVOLUTION, (10, 20), 16, 16, 3)
    nothing = TABLE.kernel_milliseconds(dense._replace(size=(0, 0)))
    whole = TABLE.kernel_milliseconds(dense) - nothing
    far = TABLE.kernel_milliseconds(dense._replace(rate=30)) - nothing
    assert far == pytest.approx(whole / 9)
    assert whole * 0.5 < TABLE.kernel_milliseconds(dense._replace(rate=2)) - nothing < whole


def test_depthwise_phases_are_padded():
    """21x22 pixels at rate 8 are computed as 24x24."""
    depthwise = Primitive(DEPTHWISE, (21, 22), 16, 16, 3, rate=8)
    padded = depthwise._replace(size=(24, 24))
    assert TABLE.kernel_milliseconds(depthwise) == TABLE.kernel_milliseconds(padded)


def test_a_network_is_the_sum_of_its_kernels():
    genotype = Genotype((0, 1), [[(0, "sep_conv_3x3"), (1, "max_pool_3x3")]])
    layout = network_layout(genotype, 5, 3, (64, 96), NetworkSizes((4, 4, 8), 8, 4, 8))
    kernels = [kernel for part in layout for kernel in part]
    assert TABLE.network_milliseconds(layout) == pytest.approx(sum(map(time_of_rated, kernels)))
    fitted = TABLE.with_coefficients((2.0, 3.0, 0.5, 5.0))
    convolutions, others, count, one = TABLE.features(layout)
    assert count == len(kernels) and one == 1
    wanted = 2 * convolutions + 3 * others + 0.5 * count + 5
    assert fitted.network_milliseconds(layout) == pytest.approx(wanted)


def time_of_rated(kernel):
    return TABLE.kernel_milliseconds(kernel) if kernel.rate > 1 else time_of(kernel)


def test_tables_are_kept_as_they_are():
    table = made_up(lanes=16, coefficients=Coefficients(0.8, 0.9, 0.1, 0.3))
    again = LatencyTable.from_dict(table.to_dict())
    layout = network_layout(Genotype((0,), [[(0, "skip_connect")] * 2]), 3, 2, (32, 32))
    assert again.network_milliseconds(layout) == table.network_milliseconds(layout)


def test_kinds_that_were_not_measured_are_refused():
    key = layer_key(Primitive(ELEMENTWISE, (1, 1), 1, 1))
    grids = {name: grid for name, grid in TABLE.grids.items() if name != key}
    with pytest.raises(ValueError, match="nothing was measured for .*elementwise"):
        LatencyTable(grids)
    with pytest.raises(ValueError, match="nothing was measured for 'convolution 9x9, stride 1'"):
        TABLE.kernel_milliseconds(Primitive(CONVOLUTION, (8, 8), 4, 4, 9))
    grid = TABLE.grids[key]
    for times in (np.nan * grid.milliseconds, -grid.milliseconds, grid.milliseconds[:2]):
        with pytest.raises(ValueError, match="the times of 'elementwise.* are damaged"):
            LatencyTable({**TABLE.grids, key: grid._replace(milliseconds=times)})


@pytest.mark.parametrize("seed", range(3))
def test_budgets_in_milliseconds_grow_with_f(seed):
    random = np.random.default_rng(seed)
    genotype = sample_genotype(SearchSpace(num_layers=4, num_blocks=2), random)
    table = made_up(lambda p: time_of(p) * random.uniform(1, 2), lanes=16, coefficients=CONSTANT)
    sizes = NetworkSizes((4, 4, 8), 8, 4, 8)
    budget = Budget((65, 97), 5, 4, milliseconds=10.0, sizes=sizes, latency=table)
    costs = [budget.with_filters(filters).cost(genotype) for filters in range(1, 60)]
    assert costs == sorted(costs)
    cells = dataclasses.replace(budget, part="cells").cost(genotype)
    layout = network_layout(genotype, 4, 5, (65, 97), sizes)
    assert budget.cost(genotype) == pytest.approx(table.network_milliseconds(layout))
    assert 0 < cells < budget.cost(genotype) - 0.5


def test_milliseconds_need_a_table():
    budget = Budget((65, 97), 5, 4, milliseconds=10.0)
    with pytest.raises(ValueError, match="Budget.milliseconds: the layers of this machine were"):
        budget.cost(Genotype((0,), [[(0, "skip_connect")] * 2]))

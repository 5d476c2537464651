"""A table of latencies of a machine that is made up, so that the right values are known."""

import math

import numpy as np

from adl_tf.space.latency import Grid, LatencyTable, all_layers
from adl_tf.space.layout import CONVOLUTION

PIXELS, CHANNELS = (100, 2000, 20000), (16, 64, 192)


def time_of(primitive):
    """What the made-up machine takes: a start, and each number that is read or computed."""
    pixels = math.prod(primitive.size)
    taps = primitive.kernel**2 * (primitive.filters if primitive.kind == CONVOLUTION else 1)
    return 0.02 + 1e-6 * pixels * primitive.channels * (1 + 0.1 * taps)


def made_up(time_of=time_of, **options):
    grids = {}
    for key, like in all_layers().items():
        filters = CHANNELS if like.kind == CONVOLUTION else (1,)
        times = [
            [
                [
                    time_of(like._replace(size=(1, pixels), channels=channels, filters=count))
                    for count in filters
                ]
                for channels in CHANNELS
            ]
            for pixels in PIXELS
        ]
        grids[key] = Grid(PIXELS, CHANNELS, filters, np.array(times))
    return LatencyTable(grids, **options)

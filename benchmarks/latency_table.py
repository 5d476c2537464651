"""How well latencies are predicted: exported networks that the table was not fitted to.

python benchmarks/latency_table.py [--threads=N] [--networks=20] [--cpu_time]

Measures the layers of this machine, without the cache, then times random networks (paths, cells,
F, heads, sizes of images) and compares. --cpu_time counts the seconds of the processor instead of
those of the clock; with --threads=1 they are the same on an idle machine, and the first do not
change while others use it. Prints one JSON line last; `errors` are predicted / measured - 1.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main(argv):
    del argv
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    import numpy as np
    import tensorflow as tf

    from adl_tf.serving.layer_timing import draw_networks, measure_table, time_networks
    from adl_tf.space.costs import network_cost
    from adl_tf.space.layout import network_layout

    options = flags.FLAGS
    clock = time.process_time if options.cpu_time else time.perf_counter
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    started = time.time()
    table = measure_table(clock)
    fitted_in = time.time() - started
    networks = draw_networks(options.networks, seed=options.seed)
    measured = time_networks(networks, clock)
    predicted = np.array([table.network_milliseconds(network_layout(*n)) for n in networks])
    multi_adds = [network_cost(*network).total.multi_adds / 1e9 for network in networks]
    errors = predicted / measured - 1
    for network, *row in zip(networks, multi_adds, measured, predicted, errors):
        print(
            f"{str(network.image_size):11} F {network.filter_multiplier:2} "
            "%7.3f billion  measured %7.2f ms  predicted %7.2f ms  %+6.1f %%"
            % (*row[:3], 100 * row[3]),
            file=sys.stderr,
        )
    # What Multi-Adds alone would say, at the best of all speeds.
    by_multi_adds = np.array(multi_adds) / measured
    by_multi_adds = by_multi_adds / np.median(by_multi_adds) - 1
    print(
        json.dumps(
            {
                "threads": options.threads,
                "clock": "cpu" if options.cpu_time else "wall",
                "fit_seconds": round(fitted_in, 1),
                "lanes": table.lanes,
                "coefficients": [round(x, 3) for x in table.coefficients],
                "networks": len(networks),
                "median_error": round(float(np.median(abs(errors))), 4),
                "largest_error": round(float(abs(errors).max()), 4),
                "largest_error_by_multi_adds": round(float(abs(by_multi_adds).max()), 4),
                "errors": [round(float(error), 4) for error in errors],
                "milliseconds": [round(float(x), 3) for x in measured],
            }
        )
    )


if __name__ == "__main__":
    from absl import app, flags

    flags.DEFINE_integer("threads", len(os.sched_getaffinity(0)), "Of TensorFlow.", lower_bound=1)
    flags.DEFINE_integer("networks", 20, "How many are timed.", lower_bound=1)
    flags.DEFINE_integer("seed", 1, "Of the networks; those of the fit have 0.")
    flags.DEFINE_bool("cpu_time", False, "Seconds of the processor.")
    app.run(main)

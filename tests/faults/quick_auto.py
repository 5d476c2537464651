"""python -m adl_tf.auto with stages that take no time, except for the conversion."""

import runpy

from quick_stages import Clock, replace_stages

# Without times: they would differ between a run and one that was killed.
replace_stages(setattr, [], {}, clock=Clock(0.0))
runpy.run_module("adl_tf.auto", run_name="__main__")

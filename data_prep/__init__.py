"""From the archives of data sets to TFRecords.

Each `convert_NAME.py` lists one data set as a `conversion.Conversion` and hands it to
`program.main`, its command line. `run.py` runs a conversion; `shards.py`, `processes.py` and
`beam.py` are how. `verify.py` checks what was written.
"""

from adl_tf.system.interrupts import end_quietly, is_program

if is_program():
    end_quietly()

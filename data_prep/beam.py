"""Conversion as an Apache Beam pipeline, one shard per element, for sets that outgrow a machine.

Input and output directories must be mounted at the same place on all workers.
"""

from typing import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from data_prep.conversion import Conversion
from data_prep.errors import BadExample, ConversionError, ErrorCount
from data_prep.shards import ShardPlan, read_state, write_shard


def write(
    conversion: Conversion,
    output_dir: str,
    plans: Sequence[ShardPlan],
    errors: ErrorCount,
    *,
    options: Sequence[str],
) -> None:
    """Writes the shards on the workers of a runner.

    Args:
      conversion: what to convert.
      output_dir: directory of the shards.
      plans: the shards to write.
      errors: counts the bad examples, once all shards are written.
      options: options of the pipeline, such as ["--runner=DirectRunner"].

    Raises:
      ConversionError: the pipeline failed.
    """
    encode, num_classes = conversion.encode, len(conversion.class_names)

    def write_plan(plan):
        write_shard(output_dir, plan, map(encode, plan.items), num_classes)

    try:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            _ = pipeline | beam.Create(plans) | beam.Reshuffle() | beam.Map(write_plan)
    except Exception as error:  # Each runner raises its own kinds.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConversionError(
            f"the Beam pipeline failed ({reason[0]}); run the same command again: it resumes "
            "where it stopped."
        ) from error
    for plan in plans:
        for fault in read_state(output_dir, plan)["skipped"]:
            errors.add(BadExample(*fault))

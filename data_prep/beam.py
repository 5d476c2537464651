"""Conversion as an Apache Beam pipeline, one shard per element, for sets that outgrow a machine.

Input and output directories must be mounted at the same place on all workers.
"""

from typing import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from data_prep import core


def write(
    conversion: core.Conversion,
    output_dir: str,
    plans: Sequence[core.ShardPlan],
    errors: core.ErrorCount,
    *,
    options: Sequence[str],
) -> None:
    """Writes the shards, see `core.run_with`.

    Args:
      conversion: what to convert.
      output_dir: of the shards.
      plans: the shards to write.
      errors: counts the bad examples, once all shards are written.
      options: of the pipeline, such as ["--runner=DirectRunner"].

    Raises:
      ConversionError: the pipeline failed, or too many bad examples.
    """
    encode, num_classes = conversion.encode, len(conversion.class_names)

    def write_shard(plan):
        core.write_shard(output_dir, plan, map(encode, plan.items), num_classes)

    try:
        with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
            _ = pipeline | beam.Create(plans) | beam.Reshuffle() | beam.Map(write_shard)
    except Exception as error:  # A runner raises whatever it likes.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise core.ConversionError(
            f"the Beam pipeline failed ({reason[0]}); start the same command again: it goes on "
            "where it stopped."
        ) from error
    for plan in plans:
        for message in core.load_state(output_dir, plan.file)["skipped"]:
            errors.add(message)

"""From TFRecords to batches.

`records` finds the records in the shards, `schema` decodes one, `reader` reads a split by record
number, and `streams` batches it, for training in a random `order` and with `augmentation`.

Kept free of imports: `description` is plain Python, and the converters' worker processes
load it without paying for TensorFlow.
"""

"""From TFRecords to batches: schema, data set descriptions, reading, augmentation.

Kept free of imports: `description` is plain Python, and the converters' worker processes
load it without paying for TensorFlow.
"""

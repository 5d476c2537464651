"""Hierarchical neural architecture search for semantic segmentation (Auto-DeepLab)."""

import os

# TensorFlow turns oneDNN on by itself on some processors only, and without it neither grouped
# convolutions nor the gradients of atrous ones exist on CPU. It reads this when its first op
# runs.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

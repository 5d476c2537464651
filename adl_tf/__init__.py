"""Hierarchical neural architecture search for semantic segmentation."""

"""Whole runs: a training from its data to its result, and the parts that searches share with it."""

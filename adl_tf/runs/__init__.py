"""Whole runs: a search and a training from their data to their result."""

"""Keras layers of the relaxed and of the decoded networks."""

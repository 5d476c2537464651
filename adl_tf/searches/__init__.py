"""Whole searches, by gradients and at random, with short trainings of their proposals."""

"""Keras callbacks around the steps and epochs of `fit`, one per module."""

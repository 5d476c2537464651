"""Keras models that `fit` trains, their losses and optimizers, and what `fit` runs on."""

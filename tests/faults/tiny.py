"""A network so small that a training of it takes a second; not for anything else."""

import tensorflow as tf


def tiny_network(num_classes):
    return tf.keras.Sequential(
        [
            tf.keras.layers.Conv2D(4, 3, padding="same"),
            tf.keras.layers.BatchNormalization(),
            tf.keras.layers.ReLU(),
            tf.keras.layers.Conv2D(num_classes, 1),
        ]
    )

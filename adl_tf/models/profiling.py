"""Parameters and Multi-Adds of a network, in total and by layer."""

from typing import Dict, NamedTuple, Tuple

import tensorflow as tf

from adl_tf.models.counting import count_multi_adds, count_parameters


class Profile(NamedTuple):
    """The cost of a network.

    Attributes:
      parameters: number of trainable parameters.
      layers: Multi-Adds of one image by layer, in the order of the graph.
    """

    parameters: int
    layers: Dict[str, int]

    @property
    def multi_adds(self) -> int:
        """Multi-Adds of one image."""
        return sum(self.layers.values())

    def table(self) -> str:
        """Multi-Adds of each layer and their share, a line per layer."""
        return "\n".join(
            f"{multi_adds:>16,} {multi_adds / self.multi_adds:7.2%}  {name}"
            for name, multi_adds in self.layers.items()
        )


def profile_network(network: tf.keras.Model, image_size: Tuple[int, int]) -> Profile:
    """Counts the parameters and Multi-Adds of a network, see `counting`.

    Args:
      network: maps float32 images [1, H, W, 3] to logits; built.
      image_size: (H, W) in pixels.
    """
    return Profile(count_parameters(network), count_multi_adds(network, image_size))

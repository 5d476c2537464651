"""The network of a training: which one, and what it starts from."""

import dataclasses
import os
from typing import Any, Dict, Optional, Union

import tensorflow as tf

from adl_tf.configuration import configured_sizes
from adl_tf.layers.synchronized_norm import synchronize_norms
from adl_tf.models.aspp import freeze_pooled_norms, set_norm_momentum
from adl_tf.models.presets import find_model_dir
from adl_tf.models.registry import (
    DECODED,
    Builder,
    NetworkDescription,
    build_network,
    read_network_description,
)
from adl_tf.models.weights import initialize_from
from adl_tf.space.genotype import Genotype, load_network_size
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.system.settings import Count, Name, PartialShare, Positive, configurable


@configurable
class RunNetwork:
    """A network to train, of as many classes as the data has.

    Args:
      genotype: what `load_genotype` takes: a file, a preset, a `Genotype`, or the dict that a
        search returned; of the decoded network only. None with `init_from` is the network of the
        latter, F and sizes included.
      init_from: model directory of another run, or a preset, whose best weights to start from;
        its number of classes may be another, then the classifier starts anew.
      network: "decoded", a baseline, or a class or function of your own, see
        `NetworkDescription`.
      filter_multiplier: F of the decoded network. None takes F and the sizes that stand beside the
        genotype in its file: those of the network that a search found.
      width: factor of the filters of a baseline's backbone.
      sizes: filters of stem, ASPP and decoder of the decoded network; None for those bound by gin.
      batch_norm_momentum: momentum of the moving statistics.
      pooled_batch_norm: False leaves the one batch norm of the image pooling out, whose
        statistics would be noise with a few images per device.
      synchronized_batch_norm: batch norm over the images of all devices.
    """

    def __init__(
        self,
        genotype: Union[str, os.PathLike, Genotype, Dict[str, Any], None] = None,
        init_from: Optional[Name] = None,
        network: Union[Name, Builder] = DECODED,
        filter_multiplier: Optional[Count] = 20,
        width: Positive = 1.0,
        sizes: Optional[NetworkSizes] = None,
        batch_norm_momentum: PartialShare = 0.99,
        pooled_batch_norm: bool = True,
        synchronized_batch_norm: bool = False,
    ):
        self._genotype = genotype
        self._init_from = init_from and find_model_dir(init_from)
        self._network = network
        self._filter_multiplier = filter_multiplier
        self._width = width
        self._sizes = sizes or configured_sizes()
        self._batch_norm_momentum = batch_norm_momentum
        self._pooled_batch_norm = pooled_batch_norm
        self._synchronized_batch_norm = synchronized_batch_norm

    def describe(self, num_classes: int) -> NetworkDescription:
        """The description that the network is built from.

        Raises:
          ValueError: an unknown network, no genotype for a decoded one, an illegal one, or no F.
          FileNotFoundError: nothing to start from.
        """
        if self._genotype is None and self._init_from and self._network == DECODED:
            same = read_network_description(self._init_from)
            return dataclasses.replace(same, num_classes=num_classes)
        filter_multiplier, sizes = self._filter_multiplier, self._sizes
        if filter_multiplier is None and self._network == DECODED:
            filter_multiplier, sizes = load_network_size(self._genotype)
        return NetworkDescription(
            network=self._network,
            num_classes=num_classes,
            genotype=self._genotype,
            filter_multiplier=filter_multiplier or 1,  # Of a baseline, which has none.
            width=self._width,
            sizes=sizes,
        )

    def build(self, description: NetworkDescription, resumed: bool) -> tf.keras.Model:
        """The network with the weights that a training starts from.

        Args:
          description: see `describe`.
          resumed: whether a checkpoint will replace the weights anyway.

        Returns:
          see `build_network`.

        Raises:
          ValueError, FileNotFoundError: see `initialize_from`.
        """
        network = build_network(description)
        set_norm_momentum(network, self._batch_norm_momentum)
        if not self._pooled_batch_norm:
            freeze_pooled_norms(network)
        if self._synchronized_batch_norm:
            synchronize_norms(network)
        if self._init_from and not resumed:
            initialize_from(network, description, self._init_from)
        return network

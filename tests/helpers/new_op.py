"""A new kind of op, from the search to the picture: run in a copy of the package that has it."""

import numpy as np
import tensorflow as tf

import adl_tf
from adl_tf.layers.cell import CellOp
from adl_tf.layers.mixed_op import MixedOp
from adl_tf.models.counting import count_multi_adds, count_parameters
from adl_tf.space.costs import network_cost
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.visualization.architecture import draw_architecture
from data_prep import convert_synthetic

OP = "excited_conv_3x3"
SIZES = NetworkSizes((2, 2, 4), aspp=4, low_level=2, decoder=4)

# Alone on an edge, it computes the same in a supernet and in a cell.
x = tf.random.stateless_normal([2, 7, 9, 4], [0, 1])
mixed, decoded = MixedOp((OP,), 4), CellOp(OP, 4)
mixed(x, tf.ones([1, 1]))
decoded(x)
convolution, excitation = decoded.convolutions
convolution.kernel.assign(mixed.kernels[OP])
excitation.kernel.assign(mixed.kernels["excited_gate"])
convolution.norm.gamma.assign(tf.ones([4]))
np.testing.assert_allclose(mixed(x, tf.ones([1, 1])), decoded(x), rtol=1e-4, atol=1e-5)

convert_synthetic.build("data", num_train=4, num_val=1, height=40, width=48)
data = adl_tf.RunData("data", crop_size=33, batch_size=2, seed=0)
space = adl_tf.SearchSpace(2, 1, 2, ops=("none", OP))
fields = {"epochs": 1, "steps_per_epoch": 1, "arch_start_epoch": 0}
found = adl_tf.run_gradient_search("search", data, space, SIZES, **fields)
genotype = adl_tf.load_genotype(found["genotype"])
assert {op for block in genotype.cell for _, op in block} == {OP}

network = adl_tf.RunNetwork(genotype, filter_multiplier=2, sizes=SIZES)
assert adl_tf.run_training("trained", data, network, steps=1)["steps"] == 1

built = adl_tf.load_network("trained")
cost = network_cost(genotype, 2, data.num_classes, (33, 33), SIZES).total
assert cost.parameters == count_parameters(built)
assert cost.multi_adds == sum(count_multi_adds(built, (33, 33)).values())

texts = [text.get_text() for axes in draw_architecture(genotype).axes for text in axes.texts]
assert texts.count("exc 3x3") == 2
print("done")

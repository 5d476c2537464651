"""Networks: the supernet, the network of a genotype, and baselines."""

"""Networks: the supernet that is searched."""

"""Search space, genotypes and decoding: numpy only, no TensorFlow."""

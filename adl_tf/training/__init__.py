"""Training loops: the alternating search and what surrounds it."""

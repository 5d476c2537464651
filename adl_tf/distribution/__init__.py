"""Several devices and machines for one run: which they are, and what they share."""

"""Several devices and machines for one run: who they are, and what they share."""

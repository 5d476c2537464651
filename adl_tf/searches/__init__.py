"""Whole searches, by gradients and at random: what they propose is trained shortly."""

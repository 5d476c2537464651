"""Studies: many trainings and searches under one protocol, and what they are compared by."""

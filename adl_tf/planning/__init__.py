"""From records to a plan, and from a plan to a served network."""

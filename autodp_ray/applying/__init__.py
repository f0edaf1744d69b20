"""A strategy applied to a whole dataset."""

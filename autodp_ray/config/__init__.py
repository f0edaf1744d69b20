"""Every setting of a run: schema, reading, errors, reference, and the starter file."""

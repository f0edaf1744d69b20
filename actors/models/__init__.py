"""Where a model comes from, how large it is, what it needs."""

"""Formats: the bytes of a file as raw rows, and the types of their values."""

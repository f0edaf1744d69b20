"""Stored datasets, and how recipes of operators run over them on Ray Data."""

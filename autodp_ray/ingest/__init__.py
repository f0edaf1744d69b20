"""Datasets from files onto storage: read in splits, on workers where there are several, as Arrow parts with ids."""

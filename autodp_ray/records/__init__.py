"""Datasets in and out: formats, forms, ids, quarantine, near-duplicate groups, damage with a known truth."""

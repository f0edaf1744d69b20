"""From a dataset to the splits of a run."""

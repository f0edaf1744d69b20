"""Finds, by itself, how to process a fine-tuning dataset so that the model trained on it gets better."""

"""Fine-tuning on Ray Train: rows as tokens, recipe, workers, queue."""

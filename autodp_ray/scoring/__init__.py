"""What a processed dataset scores: the loss of a training, or its answers compared."""

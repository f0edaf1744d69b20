"""Per-sample gradients, their sketches, and the influence of rows."""

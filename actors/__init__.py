"""Everything that Ray runs. Plain classes; Ray decorates them at the edge."""

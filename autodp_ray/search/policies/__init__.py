"""Search policies: each says which strategies the next round scores."""

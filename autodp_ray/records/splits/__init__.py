"""Input files cut into splits that are read by themselves, and a pass of one job over all of them."""

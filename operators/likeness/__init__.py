"""Which rows are copies of each other: one rule, and the sketches that find candidates."""

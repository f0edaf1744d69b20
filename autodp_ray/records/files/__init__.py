"""Files: where they lie, how they are opened, decompressed and decoded; no rows yet."""

"""Which rows a search works on: a family of samplers, one file and one word each."""

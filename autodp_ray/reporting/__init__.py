"""What a person reads of a run: the report, and the words and pictures in it."""

"""What in a strategy does it: the strategy without one of its parts at a time, trained and scored like itself."""

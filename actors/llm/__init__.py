"""The chat model on Ray Serve, its engine in this process, and its client."""

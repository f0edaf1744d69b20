"""The chat model on Ray Serve, its engine on this process, and its client."""

"""The strategy cache: files, leases and live tables, the detached actor and its client."""

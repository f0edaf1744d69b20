"""The strategy cache: strategy prefixes to datasets and scores, with leases."""

"""A package with one operator for autodp-ray."""

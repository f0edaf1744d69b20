"""What can be done to records: pure functions on Arrow batches, built from validated specs."""

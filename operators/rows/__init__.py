"""What a row holds: the record, its conversation, the columns that carry content, its hash."""

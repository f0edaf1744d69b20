"""Chat engines: who serves a chat model, one file each."""

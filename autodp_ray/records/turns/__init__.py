"""Conversations as lists of turns: read from the spellings in use, and counted."""

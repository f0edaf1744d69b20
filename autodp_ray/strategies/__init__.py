"""Strategies carried out: applied to data, scored, their workers and what they spend."""

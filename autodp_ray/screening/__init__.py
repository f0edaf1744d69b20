"""A trained screener: its rows, labels, figures and card, and its use on whole datasets."""

"""The comparison of search policies: each searches, its winner is trained on, and the models are compared."""

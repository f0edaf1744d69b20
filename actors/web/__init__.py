"""HTTP for clients of models: one way to send a request, to wait, and to try again."""

"""The final fine-tuning, on what `autodp apply` wrote."""

"""What an operator is: its spec, the resources a worker lends it, counts by reason, errors."""

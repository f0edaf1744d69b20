"""Throughput and ablation benchmarks; `python -m benchmarks list` shows them."""

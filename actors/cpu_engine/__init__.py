"""The chat engine for CPUs and tests: batched decoding with transformers, guided by JSON schemas."""

"""The stand-ins under their old place; new tests take them from `operators.testing.fakes`."""

from operators.testing.fakes import FakeCompleter, FakeScorer, FakeScreener, FakeTokenizer

__all__ = ["FakeCompleter", "FakeScorer", "FakeScreener", "FakeTokenizer"]

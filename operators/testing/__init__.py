"""For authors of operators: the contract as a pytest class, and stand-ins for what a worker lends.

Needs pytest and hypothesis, which nothing else here imports.
"""

from operators.testing.contract import OperatorContract

__all__ = ["OperatorContract"]

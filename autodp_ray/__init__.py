"""Finds, by itself, how to process a fine-tuning dataset so that the model trained on it gets better.

A Ray that this project starts listens on loopback only. Ray reads the setting for that when it is first imported, so it
is given here, before any other module of the package imports Ray; a cluster named by RAY_ADDRESS is left as it is.
"""

import os

if "RAY_ADDRESS" not in os.environ:
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")

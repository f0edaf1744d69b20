"""`python -m docs_generator FOLDER`: writes the sources of the site, which `make docs` then builds."""

from __future__ import annotations

import sys
from pathlib import Path

from docs_generator.site import write_sources

if __name__ == "__main__":
    write_sources(Path(sys.argv[1]))

"""Tags stripped by selectolax's HTML parser (Lexbor), behind our gate: a text without `<` and `&` stays."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser


def strip(text: str) -> str:
    """The text content as the parser sees it."""
    if "<" not in text and "&" not in text:
        return text
    return LexborHTMLParser(text).text()


def main(given: Path, answer: Path) -> None:
    settings = json.loads(given.read_text())
    seconds = []
    for _ in range(settings["runs"]):
        started = time.process_time()
        for text in settings["texts"]:
            strip(text)
        seconds.append(time.process_time() - started)
    num_kept = sum(strip(text) == text for text in settings["plain"])
    answer.write_text(json.dumps({"seconds": seconds, "num_kept": num_kept}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

"""The one way in which prompt templates are compiled."""

from __future__ import annotations

import jinja2


def prompt_environment(loader: jinja2.BaseLoader) -> jinja2.Environment:
    """Templates of prompts: nothing is escaped, an unknown variable is an error, lines of tags leave no blank."""
    return jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )

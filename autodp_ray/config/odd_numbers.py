"""Finds numbers that no author of a config can have meant, in any setting, also of other packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from autodp_ray.config.yaml_settings import shown


def switches(given: object, settled: object, key: str = "") -> Iterator[str]:
    """The dotted keys of settled numbers that were given as true or false, as YAML reads `yes` and `on`."""
    if isinstance(given, Mapping) and isinstance(settled, Mapping):
        for name, each in given.items():
            yield from switches(each, settled.get(name, each), f"{key}.{name}" if key else str(name))
    elif isinstance(given, (list, tuple)) and isinstance(settled, (list, tuple)):
        for at, (one, other) in enumerate(zip(given, settled, strict=False)):
            yield from switches(one, other, f"{key}.{at}")
    elif isinstance(given, bool) and not isinstance(settled, bool):
        yield key


def huge_numbers(value: object, key: str = "") -> Iterator[str]:
    """The dotted keys of numbers that no setting can mean, also in free-form sections; an own bound may be lower."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from huge_numbers(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from huge_numbers(each, key)
    elif isinstance(value, (int, float)) and not abs(value) <= 2**53:
        yield shown(key)

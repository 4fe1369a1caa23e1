"""What a site file leaves to its user, and the refusal to submit before it is given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from bnnflow.errors import ConfigError
from executors.schema.values import VARIABLE

FROM_ENVIRONMENT = ("account", "partition", "qos", "queue")
"""Keys in which `$NAME` stands for an environment variable."""

_BLANK = re.compile(r"<your [^<>]+>")


def blanks(values: Mapping[str, Any]) -> dict[str, str]:
    """What is still to be given: dotted key -> `<your ...>` or `$NAME`, as the file has it.

    values: a site file's keys, or those of a loaded site, in which set variables are replaced.
    """
    return {key: text for key, text in _texts(values) if _blank(key, text)}


def require_filled(name: str, values: Mapping[str, Any]) -> None:
    """Raises ConfigError, in one line, when a loaded site still has blanks. name: of the site."""
    left = blanks(values)
    if not left:
        return
    keys = ", ".join(f"{key} is {text}" for key, text in left.items())
    raise ConfigError(
        f"site {name} is not filled in: {keys}; export variables that start with $, or give the "
        f"keys in a site file of your own with `extends: {name}`"
    )


def _blank(key: str, text: str) -> bool:
    variable = key.rpartition(".")[2] in FROM_ENVIRONMENT and VARIABLE.fullmatch(text)
    return bool(variable or _BLANK.search(text))


def _texts(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every string of nested sections with its dotted key."""
    if isinstance(values, str):
        yield key, values
    elif isinstance(values, Mapping):
        for name, value in values.items():
            yield from _texts(value, f"{key}.{name}" if key else str(name))
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from _texts(value, key)

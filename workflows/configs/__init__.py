"""The configs that ship with bnnflow, found by name."""

from __future__ import annotations

import difflib
from importlib.resources import files
from pathlib import Path

from bnnflow.errors import ConfigError

_FOLDER = Path(str(files("workflows.configs")))


def shipped_configs() -> list[str]:
    """Names of the configs that ship with bnnflow."""
    return sorted(path.stem for path in _FOLDER.glob("*.yaml"))


def find_config(name: str) -> Path:
    """The config file of this path, else the shipped config of this name.

    Raises ConfigError with the nearest shipped name.
    """
    path = Path(name)
    if path.is_file():
        return path
    if name in shipped_configs():
        return _FOLDER / f"{name}.yaml"
    near = difflib.get_close_matches(name, shipped_configs(), n=1)
    known = f"did you mean {near[0]}?" if near else f"or one of {', '.join(shipped_configs())}"
    raise ConfigError(f"config '{name}' does not exist: give the path of a file, {known}")

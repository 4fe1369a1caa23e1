"""From a YAML file and `key=value` overrides to a config."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bnnflow.config.messages import one_line
from bnnflow.config.run import RunConfig
from bnnflow.config.sections import SCHEDULES, SamplerConfig, without_unused
from bnnflow.config.yaml_values import parse_yaml
from bnnflow.errors import ConfigError, StructureError
from bnnflow.materials import is_structure_name

PATH_KEYS: tuple[tuple[str, str], ...] = (("material", "structure"), ("potential", "model"))
"""Keys that may hold a path, relative to the config's folder (in overrides: the working folder)."""
BEFORE_POWERS: Mapping[str, Any] = {"prior_power": 0.0}
"""What a resolved config means that was written before this key."""


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a config file and apply `section.key=value` overrides.

    Raises ConfigError, in one line with the nearest known key, when the file is missing or a key
    or value is wrong, and StructureError when a checksum names another structure file.
    """
    source = Path(path)
    values = _anchor(read_values(source), source.resolve().parent)
    if "materials" in values and "material" not in values:
        raise ConfigError(f"{source.name} is a campaign: start it with `bnnflow campaign`")
    return parse_config(_anchor(overridden(values, overrides), Path.cwd()), source=source.name)


def parse_config(values: Mapping[str, Any], *, source: str = "config") -> RunConfig:
    """Make a config from nested keys, as a file holds them. source: names them in messages."""
    return _validated(_with_checksum(values), source)


def config_from_yaml(text: str, *, source: str = "config.yaml") -> RunConfig:
    """Read back the resolved config of an existing run.

    Files that it names are not looked at: what the run took from them it has. Copies of versions
    that wrote the keys of both schedules, or had one prior std for all weights, keep their meaning.
    """
    values = _sections(parse_yaml(text, source), source)
    return _validated(_as_meant(values), source)


def with_limits(config: RunConfig, overrides: Sequence[str]) -> RunConfig:
    """The config of an existing run with other limits, which change nothing that it computes.

    overrides: `limits.KEY=VALUE`. Raises ConfigError for any other key.
    """
    for text in overrides:
        if not text.startswith("limits."):
            raise ConfigError(
                f"override '{text}' changes an existing run, expected limits.KEY=VALUE: start a "
                "new run for anything else"
            )
    if not overrides:
        return config
    given = config.limits.model_dump()
    values = overridden({"limits": given}, overrides)
    return _validated(config.model_dump(mode="json") | values, "overrides")


def sampler_of(overrides: Sequence[str]) -> SamplerConfig:
    """The default sampler with `sampler.KEY=VALUE` set; raises ConfigError."""
    for text in overrides:
        if not text.startswith("sampler."):
            raise ConfigError(f"override '{text}' is not sampler.KEY=VALUE: write it so")
    values = overridden({"sampler": {}}, overrides)["sampler"]
    try:
        return SamplerConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"sampler: {one_line(error, SamplerConfig)}") from error


def _as_meant(values: dict[str, Any]) -> dict[str, Any]:
    sampler = values.get("sampler")
    if not isinstance(sampler, Mapping) or sampler.get("schedule") not in SCHEDULES:
        return values
    sampler = without_unused({**BEFORE_POWERS, **sampler}, sampler["schedule"])
    return {**values, "sampler": sampler}


def _validated(values: Mapping[str, Any], source: str) -> RunConfig:
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {one_line(error, RunConfig)}") from error


def read_values(path: Path) -> dict[str, Any]:
    """The nested keys of a YAML file; raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist: give the path of a config file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a config file: {error}") from error
    return _sections(parse_yaml(text, path.name), str(path))


def _sections(values: Any, source: str) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ConfigError(f"{source} holds no keys, expected sections: material:, threshold:, ...")
    return values


def overridden(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of nested keys with each `section.key=value` set; raises ConfigError."""
    changed = dict(values)
    for text in overrides:
        key, equals, value = text.partition("=")
        parts = key.strip().split(".")
        if not equals or not all(parts):
            raise ConfigError(f"override '{text}' is not section.key=value, for example run.seed=2")
        changed = _replaced(changed, parts, parse_yaml(value, f"override {key}"), text)
    return changed


def _replaced(values: Any, parts: Sequence[str], value: Any, text: str) -> dict[str, Any]:
    """A copy of nested `values` with one dotted key set."""
    if values is not None and not isinstance(values, Mapping):
        raise ConfigError(
            f"override '{text}' goes below a value, expected a section: shorten its key"
        )
    copy = dict(values or {})
    first, *rest = parts
    copy[first] = _replaced(copy.get(first), rest, value, text) if rest else value
    return copy


def _anchor(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths that exist below `folder` absolute; names and missing files stay."""
    anchored = dict(values)
    for section, key in PATH_KEYS:
        inner = anchored.get(section)
        if isinstance(inner, Mapping) and is_file(inner.get(key), folder):
            anchored[section] = {**inner, key: str((folder / inner[key]).resolve())}
    return anchored


def is_file(value: Any, folder: Path) -> bool:
    """Whether a value is the path of a file, seen from `folder`, rather than a name."""
    return isinstance(value, str) and not is_structure_name(value) and (folder / value).is_file()


def _with_checksum(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Record which structure file the run starts from, or refuse a file that has changed."""
    material = values.get("material")
    if not isinstance(material, Mapping) or not is_file(material.get("structure"), Path()):
        return values
    source = material["structure"]
    found = hashlib.sha256(Path(source).read_bytes()).hexdigest()
    expected = material.get("structure_sha256") or found
    if expected != found:
        raise StructureError(
            f"{source} has changed since this config was resolved: restore it, or remove "
            "material.structure_sha256 to start another run"
        )
    return {**values, "material": {**material, "structure_sha256": found}}

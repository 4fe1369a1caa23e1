"""From a YAML file and `key=value` overrides to a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bnnflow.config.campaign import CampaignConfig
from bnnflow.config.expansion import check_settings
from bnnflow.config.loading import is_file, overridden, read_values
from bnnflow.config.messages import one_line
from bnnflow.errors import ConfigError

PATHS_OF_ENTRY = ("file", "folder", "ase_db")


def load_campaign(path: Path | str, overrides: Sequence[str] = ()) -> CampaignConfig:
    """Read a campaign file and apply `section.key=value` overrides.

    Paths in the file are relative to its folder. Raises ConfigError in one line, with the nearest
    known key, when the file is missing or a key or value is wrong.
    """
    source = Path(path)
    values = _anchored(read_values(source), source.resolve().parent)
    if "material" in values and "materials" not in values:
        raise ConfigError(f"{source.name} is the config of one run: start it with `bnnflow run`")
    return parse_campaign(_anchored(overridden(values, overrides), Path.cwd()), source=source.name)


def parse_campaign(values: Mapping[str, Any], *, source: str = "campaign") -> CampaignConfig:
    """Make a campaign from nested keys, as a file holds them, and check every run's settings.

    No source of materials is looked at. source: names the campaign in messages.
    """
    try:
        campaign = CampaignConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {one_line(error, CampaignConfig)}") from error
    check_settings(campaign, source)
    return campaign


def _anchored(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Make the paths that exist below `folder` absolute, of the models and of the materials."""
    anchored = _with_model(values, folder)
    entries = values.get("materials")
    if isinstance(entries, Sequence) and not isinstance(entries, str):
        anchored["materials"] = [_entry(entry, folder) for entry in entries]
    return anchored


def _entry(entry: Any, folder: Path) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    anchored = _with_model(entry, folder)
    for key in PATHS_OF_ENTRY:
        value = anchored.get(key)
        if isinstance(value, str) and (folder / value).exists():
            anchored[key] = str((folder / value).resolve())
    return anchored


def _with_model(values: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    potential = values.get("potential")
    if not isinstance(potential, Mapping) or not is_file(potential.get("model"), folder):
        return dict(values)
    model = str((folder / potential["model"]).resolve())
    return {**values, "potential": {**potential, "model": model}}

"""From a campaign to its runs: find the materials, then combine each with all conditions.

A run is named after its material and those conditions that have several values, `water-300K-w2`:
every random number of a run derives from its seed and its name, so no two share any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from bnnflow.config.campaign import SETTINGS, CampaignConfig, Conditions, MaterialEntry
from bnnflow.config.loading import parse_config
from bnnflow.config.run import RunConfig
from bnnflow.data.layout import SHARED, STRUCTURES
from bnnflow.errors import ConfigError
from bnnflow.records import Structure
from bnnflow.sources import extxyz_text

IN_PLACE_OF: Mapping[str, tuple[str, str]] = {
    "temperature_K": ("dynamics", "temperature_K"),
    "pressure_bar": ("dynamics", "pressure_bar"),
    "seeds": ("run", "seed"),
}
"""Keys of `conditions`, and the key of a run that each sets."""


@dataclass(frozen=True, eq=False)
class Material:
    """One material of a campaign: its entry, and the structure that the entry's source gave.

    name: unique in the campaign, safe as a folder's name; origin: in words.
    """

    name: str
    structure: Structure
    origin: str
    entry: MaterialEntry


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """One run of a campaign: its name, its config, and the material it starts from."""

    name: str
    config: RunConfig
    material: Material


@dataclass(frozen=True)
class Point:
    """One combination of conditions.

    suffix: of the run's name; settings: section -> key -> value.
    """

    suffix: str
    settings: Mapping[str, Mapping[str, Any]]


def expand(
    campaign: CampaignConfig, materials: Sequence[Material], folder: Path
) -> tuple[PlannedRun, ...]:
    """Every material at every condition, in order.

    folder: the campaign's; each run's structure is the material's file in `structures/` there,
    which need not exist yet (`structure_file`). Raises ConfigError when two runs would share a
    name, or settings are wrong.
    """
    points = tuple(_points(campaign.conditions))
    runs = tuple(
        _planned(campaign, material, point, folder)
        for material, point in product(materials, points)
    )
    _refuse_doubles([run.name for run in runs])
    return runs


def structure_file(folder: Path, material: Material) -> tuple[Path, str]:
    """Where the structure of a material lies in a campaign's folder, and the text of the file."""
    return folder / STRUCTURES / f"{material.name}.extxyz", extxyz_text(material.structure)


def check_settings(campaign: CampaignConfig, source: str) -> None:
    """Refuse settings that are wrong for any material or condition, before any is looked for.

    source: names the campaign in messages. Raises ConfigError.
    """
    for number, entry in enumerate(campaign.materials):
        _refuse_contradictions(campaign, entry, f"{source}, materials.{number}")
        for point in _points(campaign.conditions):
            values = _sections(campaign, entry, point) | {"material": {"structure": "H2"}}
            parse_config(values, source=f"{source}, run of materials.{number}")


def _planned(
    campaign: CampaignConfig, material: Material, point: Point, folder: Path
) -> PlannedRun:
    name = f"{material.name}{point.suffix}"
    path, text = structure_file(folder.resolve(), material)
    section = {
        "name": name,
        "structure": str(path),
        "structure_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "charge": material.structure.charge,
        "multiplicity": material.structure.multiplicity,
    }
    values = _sections(campaign, material.entry, point) | {"material": section}
    if campaign.ensembles == "per_material":
        shared = {"shared_ensemble": f"../../{SHARED}/{material.name}"}
        values["run"] = {**values.get("run", {}), **shared}
    return PlannedRun(name, parse_config(values, source=f"{campaign.name}, run {name}"), material)


def _sections(campaign: CampaignConfig, entry: MaterialEntry, point: Point) -> dict[str, Any]:
    """The sections of a run: the campaign's, changed by the material's, at these conditions."""
    layers = [campaign.settings(), entry.settings(), point.settings]
    merged = {
        name: {key: value for layer in layers for key, value in layer.get(name, {}).items()}
        for name in SETTINGS
        if any(name in layer for layer in layers)
    }
    return merged | ({"compat": campaign.compat} if campaign.compat else {})


def _points(conditions: Conditions) -> Iterator[Point]:
    """All combinations; one without conditions when there are none."""
    keys = [key for key in IN_PLACE_OF if getattr(conditions, key)]
    for values in product(*(getattr(conditions, key) for key in keys)):
        chosen = dict(zip(keys, values, strict=True))
        for walker in range(1, conditions.walkers + 1):
            yield Point(_suffix(conditions, chosen, walker), _as_sections(chosen))


def _as_sections(chosen: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    settings: dict[str, dict[str, Any]] = {}
    for condition, value in chosen.items():
        section, key = IN_PLACE_OF[condition]
        settings.setdefault(section, {})[key] = value
    return settings


def _suffix(conditions: Conditions, chosen: Mapping[str, Any], walker: int) -> str:
    """What tells a run from the others of its material."""
    words = {
        "temperature_K": lambda value: f"{_short(value)}K",
        "pressure_bar": lambda value: f"{_short(value)}bar",
        "seeds": lambda value: f"s{value}",
    }
    parts = [
        words[key](value) for key, value in chosen.items() if len(getattr(conditions, key)) > 1
    ]
    parts += [f"w{walker}"] if conditions.walkers > 1 else []
    return "".join(f"-{part}" for part in parts)


def _short(value: float) -> str:
    """The number in full: two conditions that differ have names that differ."""
    return str(int(value)) if value.is_integer() else repr(value)


def _refuse_contradictions(campaign: CampaignConfig, entry: MaterialEntry, source: str) -> None:
    """A key of a run that a condition, or the campaign itself, sets would have no effect."""
    values = _sections(campaign, entry, Point("", {}))
    for key, (section, name) in IN_PLACE_OF.items():
        given = values.get(section, {}).get(name)
        if getattr(campaign.conditions, key) and given is not None:
            raise ConfigError(
                f"{source}: {section}.{name} and conditions.{key} are both set: keep one"
            )
    kind = values.get("dynamics", {}).get("kind") or "langevin"
    if campaign.conditions.pressure_bar and kind != "npt":
        raise ConfigError(
            f"{source}: conditions.pressure_bar is set, but dynamics.kind is {kind}: set it to "
            "npt, or remove the pressures"
        )
    if "site" in entry.run:
        raise ConfigError(
            f"{source}: run.site is set for one material, but all runs share their pools: set it "
            "beside materials"
        )
    if "shared_ensemble" in values.get("run", {}):
        raise ConfigError(
            f"{source}: run.shared_ensemble is set, which a campaign does itself: set ensembles to "
            "per_material, beside materials"
        )
    if "folder" in values.get("run", {}):
        raise ConfigError(
            f"{source}: run.folder is set, but the runs of a campaign lie in its own folder: "
            "remove it"
        )


def _refuse_doubles(names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise ConfigError(f"two runs would be called {name}: give a material another name")
        seen.add(name.casefold())

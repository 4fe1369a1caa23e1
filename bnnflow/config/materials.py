"""The materials that a campaign's entries find in their sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from bnnflow.config.campaign import CampaignConfig, MaterialEntry, SourceKind
from bnnflow.config.expansion import Material
from bnnflow.sources import (
    Found,
    NamedStructure,
    Treatment,
    Unusable,
    from_ase_database,
    from_file,
    from_folder,
    from_materials_project,
    from_name,
    from_optimade,
    with_unique_names,
)


def find_materials(
    campaign: CampaignConfig,
) -> tuple[tuple[Material, ...], tuple[Unusable, ...]]:
    """Look into every source. Returns the materials, and what cannot be used, in order.

    Names are unique over both. Raises StructureError or ConfigError for a source that gives
    nothing at all.
    """
    entries: list[MaterialEntry] = []
    items: list[Found] = []
    for entry in campaign.materials:
        found = _named(entry, _SOURCES[entry.kind](entry, _treatment(entry)))
        items += found
        entries += [entry] * len(found)
    pairs = list(zip(with_unique_names(items), entries, strict=True))
    materials = [
        _material(item, entry) for item, entry in pairs if isinstance(item, NamedStructure)
    ]
    return tuple(materials), tuple(item for item, _ in pairs if isinstance(item, Unusable))


def _material(item: NamedStructure, entry: MaterialEntry) -> Material:
    return Material(item.name, item.structure, entry.origin or item.origin, entry)


def _treatment(entry: MaterialEntry) -> Treatment:
    return Treatment(entry.charge, entry.multiplicity, entry.repeat)


def _named(entry: MaterialEntry, found: tuple[Found, ...]) -> tuple[Found, ...]:
    """The same by the entry's name, which goes before their own when there are several."""
    if not entry.name:
        return found
    if len(found) == 1:
        return (replace(found[0], name=entry.name),)
    return tuple(replace(item, name=f"{entry.name}-{item.name}") for item in found)


def _from_name(entry: MaterialEntry, treatment: Treatment) -> tuple[Found, ...]:
    return from_name(entry.structure or "", treatment)


def _from_file(entry: MaterialEntry, treatment: Treatment) -> tuple[Found, ...]:
    return from_file(Path(entry.file or ""), treatment, frames=entry.frames)


def _from_folder(entry: MaterialEntry, treatment: Treatment) -> tuple[Found, ...]:
    return from_folder(Path(entry.folder or ""), treatment, pattern=entry.pattern)


def _from_ase_database(entry: MaterialEntry, treatment: Treatment) -> tuple[Found, ...]:
    path = Path(entry.ase_db or "")
    return from_ase_database(path, treatment, select=entry.select, limit=entry.limit)


def _from_optimade(entry: MaterialEntry, treatment: Treatment) -> tuple[Found, ...]:
    return from_optimade(entry.optimade or "", entry.providers, treatment, limit=entry.limit)


def _from_materials_project(entry: MaterialEntry, treatment: Treatment) -> tuple[Found, ...]:
    return from_materials_project(entry.materials_project or {}, treatment, limit=entry.limit)


_SOURCES: Mapping[SourceKind, Callable[[MaterialEntry, Treatment], tuple[Found, ...]]] = {
    "structure": _from_name,
    "file": _from_file,
    "folder": _from_folder,
    "ase_db": _from_ase_database,
    "optimade": _from_optimade,
    "materials_project": _from_materials_project,
}

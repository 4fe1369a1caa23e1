"""Structures from an ASE database file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bnnflow.errors import StructureError
from bnnflow.sources.found import Found, Treatment, found


def from_ase_database(
    path: Path, treatment: Treatment, *, select: str = "", limit: int | None = None
) -> tuple[Found, ...]:
    """The rows of an ASE database that a selection takes, by id.

    select: in ASE's words, `natoms<10,Li`; limit: most rows (None: all). A row is named by its key
    `name`, else by formula and id; charge and multiplicity are read from its keys (see `state`).

    Raises StructureError when the file is no database, or the selection is wrong or takes none.
    """
    if not path.is_file():
        raise StructureError(f"{path} is not a file: give the path of an ASE database")
    rows = _rows(path, select, limit)
    if not rows:
        raise StructureError(f"no row of {path} is in the selection '{select}': choose another")
    return tuple(_row(row, path, treatment) for row in rows)


def _rows(path: Path, select: str, limit: int | None) -> list[Any]:
    from ase.db import connect

    try:
        return list(connect(path).select(select or None, limit=limit))
    except Exception as error:  # ASE raises what its parsing or sqlite ran into
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StructureError(
            f"{path} cannot be read as an ASE database with the selection '{select}' ({reason}): "
            "check both"
        ) from error


def _row(row: Any, path: Path, treatment: Treatment) -> Found:
    atoms = row.toatoms()
    atoms.info = dict(row.key_value_pairs)
    name = str(atoms.info.get("name") or f"{row.formula}-{row.id}")
    return found(atoms, name, f"row {row.id} of {path}", treatment)

"""Which runs some folders hold: run folders themselves, and campaigns with `runs/NAME/` in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bnnflow.config.yaml_values import parse_yaml
from bnnflow.data import is_run
from bnnflow.data.layout import CAMPAIGN_FILE, RUNS, SHARED
from bnnflow.errors import RunFolderError


@dataclass(frozen=True)
class Place:
    """Where a run lies, and the name it is shown by."""

    name: str
    folder: Path


@dataclass(frozen=True)
class LeftOut:
    """A material that its campaign set aside before any run of it was made, and why."""

    name: str
    reason: str


def holds_runs(folder: Path) -> bool:
    """Whether a folder is to be looked at as many runs."""
    return not is_run(folder) and ((folder / CAMPAIGN_FILE).is_file() or (folder / RUNS).is_dir())


def find_runs(folders: Sequence[Path]) -> list[Place]:
    """The runs of all folders, by name within each campaign.

    Runs of one name are told apart by their paths. Raises RunFolderError when a folder holds
    neither a run nor a campaign.
    """
    found = list(dict.fromkeys(run for folder in folders for run in _runs(folder)))
    many = Counter(run.name for run in found)
    return [Place(run.name if many[run.name] == 1 else str(run), run) for run in found]


def find_shared(folders: Sequence[Path]) -> list[Place]:
    """The runs that sample what walkers of one material share; campaigns may have some."""
    found = [run for folder in folders for run in sorted((folder / SHARED).glob("*"))]
    return [Place(f"{run.name} ({SHARED})", run) for run in found if is_run(run)]


def left_out(folder: Path) -> tuple[LeftOut, ...]:
    """The materials that the campaign in `folder` set aside; none where it does not say."""
    file = folder / CAMPAIGN_FILE
    if not file.is_file():
        return ()
    values = parse_yaml(file.read_text(encoding="utf-8"), str(file))
    rows: Any = values.get("set_aside", ()) if isinstance(values, Mapping) else ()
    named = [row for row in rows or () if isinstance(row, Mapping) and "name" in row]
    return tuple(LeftOut(str(row["name"]), str(row.get("reason", ""))) for row in named)


def _runs(folder: Path) -> list[Path]:
    if not holds_runs(folder):
        if not is_run(folder):
            raise RunFolderError(
                f"{folder} holds no run, expected a run folder or one with {RUNS}/: check the path"
            )
        return [Path(folder)]
    return sorted(path for path in (folder / RUNS).glob("*") if path.is_dir())

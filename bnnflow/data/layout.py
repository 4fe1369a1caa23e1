"""Names inside a run folder and a campaign's, and the steps in which a run folder is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

RUN_FILE = "run.h5"
CONFIG_FILE = "config.yaml"
LOCK_FILE = "run.lock"
LOG_FILE = "log.jsonl"
SESSIONS_FILE = "sessions.jsonl"
COMMITS = "commits"

CAMPAIGN_FILE = "campaign.yaml"
STRUCTURES = "structures"
"""Subfolder of a campaign with one extxyz file per material."""
RUNS = "runs"
"""Subfolder of a campaign with its runs."""
SHARED = "shared"
"""Subfolder with one run per material that samples what its walkers share."""

OnWrite = Callable[[str], None]


def is_campaign(folder: Path | str) -> bool:
    """Whether a folder holds a campaign, and not just a file of that name beside runs."""
    return (Path(folder) / CAMPAIGN_FILE).is_file() and (Path(folder) / STRUCTURES).is_dir()


def silent(_name: str) -> None:
    """Watch nothing: the default of every `on_write`."""


@contextmanager
def step(on_write: OnWrite, name: str) -> Iterator[None]:
    """Announce one write step before and after it, so that a test can stop the process there."""
    on_write(f"{name}:before")
    yield
    on_write(f"{name}:after")


def temporary_for(path: Path) -> Path:
    """Where a file is written before it gets its name."""
    return path.with_name(f".{path.name}.tmp")


def remove_leftovers(folder: Path) -> None:
    """Delete what a killed coordinator left half written; only the holder of the lock may."""
    for directory in (folder, folder / COMMITS):
        for path in directory.glob(".*.tmp"):
            path.unlink(missing_ok=True)

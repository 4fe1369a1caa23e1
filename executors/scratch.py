"""Where Parsl keeps its scripts and logs: below the run folder, else in a temporary folder."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bnnflow.errors import ConfigError

KEPT = 3
"""Starts whose logs are kept in one run folder."""

_SAFE = re.compile(r"[\w./+@-]+", re.ASCII)


@contextmanager
def scratch_folder(run_dir: Path | None, *, shared: bool = False) -> Iterator[Path]:
    """The folder below `run_dir` for Parsl's files; the logs of the last starts are kept there.

    Parsl puts the path into shell commands without quotes, so that a run folder whose path has
    spaces or the like is replaced by a temporary folder, removed at the end, as without one.
    shared: workers on other nodes read it, so that a temporary one is made in the current folder.
    Raises ConfigError when it is to be shared and no path will do.
    """
    folder = run_dir.absolute() / "parsl" if run_dir else None
    if folder is not None and _SAFE.fullmatch(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        _prune(folder)
        yield folder
        return
    parent = Path.cwd() if shared else None
    if shared and (folder is not None or not _SAFE.fullmatch(str(parent))):
        raise ConfigError(
            f"folder {run_dir or parent} has characters that the scheduler's scripts cannot hold, "
            "expected letters, digits and ._+@-/ alone: use another folder"
        )
    with tempfile.TemporaryDirectory(
        prefix="bnnflow-parsl-", dir=parent, ignore_cleanup_errors=True
    ) as path:
        yield Path(path)


def _prune(folder: Path) -> None:
    starts = sorted((path for path in folder.iterdir() if path.name.isdigit()), key=_number)
    for path in starts[: max(0, len(starts) - KEPT + 1)]:
        shutil.rmtree(path, ignore_errors=True)


def _number(path: Path) -> int:
    return int(path.name)

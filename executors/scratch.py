"""Where Parsl keeps its scripts and logs: below the run folder, else in a temporary folder."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KEPT = 3
"""Starts whose logs are kept in one run folder."""

_SAFE = re.compile(r"[\w./+@-]+", re.ASCII)


@contextmanager
def scratch_folder(run_dir: Path | None) -> Iterator[Path]:
    """The folder below `run_dir` for Parsl's files; the logs of the last starts are kept there.

    Parsl puts the path into shell commands without quotes, so that a run folder whose path has
    spaces or the like is replaced by a temporary folder, removed at the end, as without one.
    """
    folder = run_dir.absolute() / "parsl" if run_dir else None
    if folder is not None and _SAFE.fullmatch(str(folder)):
        folder.mkdir(parents=True, exist_ok=True)
        _prune(folder)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="bnnflow-parsl-", ignore_cleanup_errors=True) as path:
        yield Path(path)


def _prune(folder: Path) -> None:
    starts = sorted((path for path in folder.iterdir() if path.name.isdigit()), key=_number)
    for path in starts[: max(0, len(starts) - KEPT + 1)]:
        shutil.rmtree(path, ignore_errors=True)


def _number(path: Path) -> int:
    return int(path.name)

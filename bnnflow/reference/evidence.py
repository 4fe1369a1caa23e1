"""What stays of a label's calculation: attempts, raw files, and what the next starts from.

Each attempt runs in a fresh `attempt-NN/` of its label's folder. That of a failure stays whole. Of
a good label the scratch files of all attempts go, and of the last the rest stays as `Handling.keep`
says.
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

from bnnflow.errors import ConfigError
from bnnflow.reference.base import Reference

LOG = "output.log"
KEEP = ("all", "compressed", "result")


def new_attempt(directory: Path) -> Path:
    """A new folder per attempt: what an interrupted one left can neither be read nor disturb."""
    directory.mkdir(parents=True, exist_ok=True)
    used = [int(path.name.split("-")[1]) for path in attempts(directory)]
    attempt = directory / f"attempt-{max(used, default=0) + 1:02d}"
    attempt.mkdir()
    return attempt.resolve()


def lay_restart_files(reference: Reference, previous: str, attempt: Path) -> bool:
    """Copy the starting guess that the label before left; returns whether all of it was there."""
    found = [_newest(Path(previous), name) for name in reference.restart_files] if previous else []
    whole = [path for path in found if path is not None]
    if not whole or len(whole) < len(found):
        return False
    for path in whole:
        shutil.copy2(path, attempt / path.name)
    return True


def drop_restart_files(reference: Reference, previous: str) -> None:
    """Delete what the label before left for this one, once this one is good."""
    if previous:
        for name in reference.restart_files:
            for attempt in attempts(Path(previous)):
                (attempt / name).unlink(missing_ok=True)


def tidy(reference: Reference, attempt: Path, keep: str) -> None:
    """Clean up after a good label; `restart_files` stay, as the next label may want them.

    Raises ConfigError for an unknown `keep`.
    """
    if keep not in KEEP:
        raise ConfigError(f"keep is {keep!r}, expected one of {', '.join(KEEP)}")
    clear_scratch(reference, attempt)
    kept = {attempt / name for name in reference.restart_files}
    for path in sorted(attempt.rglob("*")):
        if keep != "all" and path.is_file() and path not in kept:
            _shrink(path, keep)


def clear_scratch(reference: Reference, attempt: Path) -> None:
    """Delete an attempt's scratch files, but for what the next label may start from."""
    kept = {attempt / name for name in reference.restart_files}
    for pattern in reference.scratch:
        for path in attempt.glob(pattern):
            if path not in kept:
                _remove(path)


def _shrink(path: Path, keep: str) -> None:
    if keep == "compressed":
        with path.open("rb") as raw, gzip.open(f"{path}.gz", "wb") as packed:
            shutil.copyfileobj(raw, packed)
    path.unlink()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _newest(directory: Path, name: str) -> Path | None:
    """A file of this name, of the last attempt that has one."""
    found = [attempt / name for attempt in attempts(directory) if (attempt / name).is_file()]
    return found[-1] if found else None


def attempts(directory: Path) -> list[Path]:
    """The attempts of a label's folder, in their order."""
    return sorted(directory.glob("attempt-[0-9][0-9]"))

"""The start of the next label as one file, for codes that leave theirs in folders of their own."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from pathlib import Path


def pack(folder: Path, patterns: Sequence[str], archive: Path) -> None:
    """Put the files of a folder that match into one archive, which appears whole or not at all."""
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    if found:
        part = archive.with_suffix(".part")
        with tarfile.open(part, "w") as packed:
            for path in found:
                packed.add(path, arcname=path.name)
        part.replace(archive)


def unpack(archive: Path, folder: Path) -> bool:
    """Lay an archive's files into a folder, if there is one; returns whether there was."""
    if not archive.is_file():
        return False
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return True

"""One line of JSON at the head of an HDF5 file, in the user block that HDF5 itself never touches.

It can be read and changed without HDF5, in one write smaller than a disk sector, so it can say
whether the rest of the file may be trusted. `head -n 1 FILE` shows it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

SIZE = 512
"""Bytes of the user block, the smallest that HDF5 allows."""
FORMAT = ("v110", "v110")
"""HDF5 file format of a run: the first with checksums on all structure; readable since 1.10."""


def encode(line: dict[str, Any]) -> bytes:
    """The user block (SIZE bytes) that holds `line`."""
    return (json.dumps(line) + "\n").encode().ljust(SIZE)


def decode(block: bytes) -> dict[str, Any]:
    """The line in the first SIZE bytes of a file, empty when there is none."""
    try:
        line = json.loads(block[:SIZE])
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}


def read_headline(path: Path) -> dict[str, Any]:
    """The line at the head of a file, empty when the file or the line is missing or garbage."""
    try:
        with path.open("rb") as file:
            return decode(file.read(SIZE))
    except FileNotFoundError:
        return {}


def write_headline(path: Path, line: dict[str, Any]) -> None:
    """Change the line of a file in place; it is on disk, with all before it, on return."""
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.fsync(descriptor)
        os.pwrite(descriptor, encode(line), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

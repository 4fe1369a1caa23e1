"""Commits as files: `commits/NNNNNN.h5`, written once, checksummed, never changed.

These segments are the run; `run.h5` is a view made from them. A segment holds the record
`Commit`; the first one also holds what the run was made with.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from bnnflow.codec import publish, read_record, write_record
from bnnflow.data import headline
from bnnflow.data.layout import COMMITS, OnWrite, silent, step, temporary_for
from bnnflow.errors import RunFolderError
from bnnflow.records import Commit


@dataclass(frozen=True)
class Origin:
    """What a run was made with: the resolved config's text, and versions, seed, created time."""

    config_text: str
    metadata: Mapping[str, Any]


def segment_path(folder: Path, number: int) -> Path:
    """File of one commit."""
    return folder / COMMITS / f"{number:06d}.h5"


def last_segment(folder: Path) -> int:
    """Number of the last commit; -1 where there is none.

    Raises RunFolderError when one is missing between the first and the last.
    """
    names = [path.stem for path in (folder / COMMITS).glob("[0-9]*.h5")]
    found = {int(name) for name in names if name.isdecimal()}  # copies of other names are nobody's
    missing = set(range(max(found, default=-1))) - found
    if missing:
        name = segment_path(folder, min(missing))
        raise RunFolderError(f"{name} is missing, expected every commit: restore it from a copy")
    return len(found) - 1


def write_segment(
    folder: Path,
    number: int,
    commit: Commit,
    *,
    origin: Origin | None = None,
    on_write: OnWrite = silent,
) -> None:
    """Write one commit; it counts from the moment the file has its name.

    Raises RunFolderError when the number is taken or the disk refuses.
    """
    path = segment_path(folder, number)
    if path.exists():
        raise RunFolderError(f"{path} exists, expected a new commit: open the run again")
    try:
        with step(on_write, "segment.write"):
            temporary_for(path).write_bytes(_encode(number, commit, origin))
        with step(on_write, "segment.publish"):
            publish(temporary_for(path), path)
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error}: make room, then resume") from error


def read_segment(folder: Path, number: int) -> Commit:
    """Read one commit. Raises RunFolderError when it is missing or damaged."""
    with h5py.File(io.BytesIO(_verified(segment_path(folder, number))), "r") as file:
        return read_record(file["commit"], Commit)


def read_origin(folder: Path) -> Origin:
    """What the run was made with. Raises RunFolderError when its first commit is damaged."""
    with h5py.File(io.BytesIO(_verified(segment_path(folder, 0))), "r") as file:
        config, metadata = (file[name].asstr()[()] for name in ("config", "metadata"))
    return Origin(config, json.loads(metadata))


def _encode(number: int, commit: Commit, origin: Origin | None) -> bytes:
    image = io.BytesIO()
    with h5py.File(image, "w", libver=headline.FORMAT, userblock_size=headline.SIZE) as file:
        write_record(file.create_group("commit"), commit)
        if origin is not None:
            file["config"] = origin.config_text
            file["metadata"] = json.dumps(origin.metadata)
    body = image.getvalue()[headline.SIZE :]
    line = {"bnnflow": "commit", "commit": number, "sha256": hashlib.sha256(body).hexdigest()}
    return headline.encode(line) + body


def _verified(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {error}: restore it from a copy") from error
    found = hashlib.sha256(data[headline.SIZE :]).hexdigest()
    line = headline.decode(data)
    if (line.get("sha256"), line.get("commit")) != (found, int(path.stem)):
        raise RunFolderError(
            f"{path} is damaged (its checksum is wrong): restore it from a copy, or, if it is the "
            "last commit, move it away to go on from the one before"
        )
    return data

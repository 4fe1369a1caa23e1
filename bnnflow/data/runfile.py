"""run.h5 on disk: brought up to the last commit, made anew when it cannot be trusted.

Its headline says "clean" only while HDF5 has the file closed; a kill in between leaves
"replaying", and the file is then rebuilt from the segments at the next open.
"""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import h5py

from bnnflow.codec import publish
from bnnflow.data import headline
from bnnflow.data.layout import RUN_FILE, OnWrite, silent, step, temporary_for
from bnnflow.data.segments import read_origin, read_segment
from bnnflow.data.view import create_view, last_commit, put_state, replay
from bnnflow.errors import RunFolderError
from bnnflow.records import Commit

DAMAGE = (OSError, KeyError, RuntimeError, ValueError)
"""What h5py raises when a file is not what it was."""

_OPTIONS: dict[str, Any] = {"libver": headline.FORMAT, "locking": False}


def bring_up(
    folder: Path,
    last: int,
    *,
    newest: Commit | None = None,
    thorough: bool = False,
    on_write: OnWrite = silent,
) -> None:
    """Make run.h5 hold every commit up to `last`; cheap when only the newest lacks.

    newest: the last commit, where it is at hand; thorough: read the whole file first, which finds
    damage that its size does not show. Raises RunFolderError when the disk refuses.
    """
    path = folder / RUN_FILE
    try:
        trusted = _trusted(path, last) and (not thorough or _sound(path))
        if not (trusted and _append(folder, last, newest, on_write)):
            _rebuild(folder, last, on_write)
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error}: make room, then resume") from error


def snapshot(folder: Path, patience_s: float = 0.05) -> bytes | None:
    """The bytes of a clean run.h5, None when there is none; safe while it is being written.

    A writer needs milliseconds, so a file under change is waited for up to `patience_s`.
    """
    path = folder / RUN_FILE
    deadline = time.monotonic() + patience_s
    while True:
        before = headline.read_headline(path)
        if _clean(before):
            data = path.read_bytes()
            if headline.decode(data) == before == headline.read_headline(path):
                return data if len(data) == before["bytes"] else None
        elif before.get("state") != "replaying":
            return None
        if time.monotonic() > deadline:
            return None
        time.sleep(0.005)


def _catch_up(
    file: h5py.File,
    folder: Path,
    last: int,
    *,
    newest: Commit | None = None,
    on_write: OnWrite = silent,
) -> None:
    for number in range(last_commit(file) + 1, last + 1):
        known = newest if number == last else None
        commit = known or read_segment(folder, number)
        replay(file, number, commit, on_write)
        if number == last:
            with step(on_write, "view.state"):
                put_state(file, commit.state)


def view_in_memory(folder: Path, last: int, data: bytes | None) -> h5py.File:
    """An open view of every commit up to `last`, from a snapshot or from the segments alone."""
    if data is not None:
        file = h5py.File(io.BytesIO(data), "r+", libver=headline.FORMAT)
    else:
        file = h5py.File(io.BytesIO(), "w", libver=headline.FORMAT)
        create_view(file, read_origin(folder), read_segment(folder, 0).state)
    _catch_up(file, folder, last)
    return file


def _append(folder: Path, last: int, newest: Commit | None, on_write: OnWrite) -> bool:
    path = folder / RUN_FILE
    if headline.read_headline(path)["commit"] == last:
        return True
    with step(on_write, "view.mark"):
        headline.write_headline(path, {"bnnflow": "run", "state": "replaying"})
    try:
        with h5py.File(path, "r+", **_OPTIONS) as file:
            _catch_up(file, folder, last, newest=newest, on_write=on_write)
            on_write("view.close:before")
        on_write("view.close:after")
    except DAMAGE:
        return False
    with step(on_write, "view.clean"):
        headline.write_headline(path, _clean_line(path, last))
    return True


def _rebuild(folder: Path, last: int, on_write: OnWrite) -> None:
    path = folder / RUN_FILE
    temporary = temporary_for(path)
    with step(on_write, "rebuild.write"):
        with h5py.File(temporary, "w", userblock_size=headline.SIZE, **_OPTIONS) as file:
            create_view(file, read_origin(folder), read_segment(folder, 0).state)
            _catch_up(file, folder, last)
        headline.write_headline(temporary, _clean_line(temporary, last))
    with step(on_write, "rebuild.publish"):
        publish(temporary, path)


def _trusted(path: Path, last: int) -> bool:
    line = headline.read_headline(path)
    return _clean(line) and line["commit"] <= last and line["bytes"] == path.stat().st_size


def _sound(path: Path) -> bool:
    try:
        with h5py.File(path, "r", **_OPTIONS) as file:
            file.visititems(lambda _name, item: _touch(item))
    except DAMAGE:
        return False
    return True


def _clean(line: dict[str, Any]) -> bool:
    return line.get("state") == "clean" and {"commit", "bytes"} <= set(line)


def _clean_line(path: Path, last: int) -> dict[str, Any]:
    size = path.stat().st_size
    return {"bnnflow": "run", "state": "clean", "commit": last, "bytes": size}


def _touch(item: h5py.Dataset | h5py.Group) -> None:
    if isinstance(item, h5py.Dataset):
        item[()]

"""The coordinator's side of a run folder: create it, open it, commit to it."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata as distributions
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bnnflow.codec import publish
from bnnflow.data import segments, view
from bnnflow.data.layout import (
    COMMITS,
    CONFIG_FILE,
    RUN_FILE,
    OnWrite,
    remove_leftovers,
    silent,
    step,
    temporary_for,
)
from bnnflow.data.lock import RunLock
from bnnflow.data.runfile import bring_up
from bnnflow.data.segments import Origin
from bnnflow.errors import RunFolderError
from bnnflow.records import Commit, LoopState

FORMAT = 1
"""Version of the run folder's layout."""
PACKAGES = (
    "bnnflow",
    "numpy",
    "scipy",
    "h5py",
    "ase",
    "torch",
    "e3nn",
    "mace-torch",
    "parsl",
    "pyscf",
    "tblite",
)


class RunStore:
    """An open run folder; the only writer of it. Made by `create_run` and `open_run`."""

    def __init__(self, folder: Path, lock: RunLock, on_write: OnWrite) -> None:
        self.folder = folder
        self._lock = lock
        self._on_write = on_write
        self._number = segments.last_segment(folder)
        self._origin = segments.read_origin(folder)
        self._state = segments.read_segment(folder, self._number).state

    @property
    def state(self) -> LoopState:
        """The last committed state."""
        return self._state

    @property
    def number(self) -> int:
        """Number of the last commit; 0 is the one that made the run."""
        return self._number

    @property
    def config_text(self) -> str:
        """The resolved config the run was made with."""
        return self._origin.config_text

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Versions, seed, created time, timestep_fs and whatever else the run was made with."""
        return self._origin.metadata

    def commit(self, commit: Commit) -> int:
        """Write events and state so that a kill leaves all of them or none; returns the number.

        Raises RunFolderError when an event does not fit the tables (nothing is written then), or
        the disk refuses; what was committed before stays whole.
        """
        view.check(commit, len(self._state.checkpoint.structure))
        segments.write_segment(self.folder, self._number + 1, commit, on_write=self._on_write)
        self._number += 1
        self._state = commit.state
        bring_up(self.folder, self._number, newest=commit, on_write=self._on_write)
        return self._number

    def close(self) -> None:
        """Let another coordinator have the run."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, so that `open_run` and not `create_run` is due."""
    return segments.segment_path(folder, 0).exists()


def create_run(
    folder: Path,
    *,
    config_text: str,
    metadata: Mapping[str, Any],
    state: LoopState,
    on_write: OnWrite = silent,
) -> RunStore:
    """Make a run folder and open it. It is a run from the moment its first commit is there.

    config_text: the resolved config, YAML; metadata: JSON-able, with "timestep_fs" (MD step, fs)
    and the seed; versions and the created time are added. Raises RunFolderError when the folder
    holds a run or somebody's files of the same names.
    """
    if "timestep_fs" not in metadata:
        raise RunFolderError("metadata lack timestep_fs, the MD step in fs: give it to create_run")
    origin = Origin(config_text, json.loads(json.dumps(_described(metadata))))
    _refuse_taken(folder, config_text)
    try:
        (folder / COMMITS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make {folder}: {error}: choose another folder") from error
    lock = RunLock(folder)
    try:
        _refuse_taken(folder, config_text)
        remove_leftovers(folder)
        segments.write_segment(folder, 0, Commit(state, ()), origin=origin, on_write=on_write)
        return _opened(folder, lock, on_write)
    except BaseException:
        lock.release()
        raise


def open_run(folder: Path, *, on_write: OnWrite = silent) -> RunStore:
    """Open a run to go on with it: take its lock, clear leftovers, bring run.h5 up to date.

    Raises RunFolderError when there is no run, another process drives it, its config.yaml was
    changed, or a commit is missing or damaged.
    """
    if not is_run(folder):
        missing = segments.segment_path(folder, 0)
        raise RunFolderError(f"{folder} holds no run ({missing} is missing): start one first")
    lock = RunLock(folder)
    try:
        remove_leftovers(folder)
        return _opened(folder, lock, on_write)
    except BaseException:
        lock.release()
        raise


def _opened(folder: Path, lock: RunLock, on_write: OnWrite) -> RunStore:
    store = RunStore(folder, lock, on_write)
    _check_format(store)
    _restore_config(store, on_write)
    bring_up(folder, store.number, thorough=True, on_write=on_write)
    return store


def _refuse_taken(folder: Path, config_text: str) -> None:
    if is_run(folder):
        same = segments.read_origin(folder).config_text == config_text
        whose = "this run already: resume it" if same else "a run of another config: resume that"
        raise RunFolderError(f"{folder} holds {whose}, or choose another folder")
    if segments.last_segment(folder) >= 0 or (folder / RUN_FILE).exists():
        raise RunFolderError(
            f"{folder} holds parts of a run without its first commit: "
            "restore them, or choose another folder"
        )
    config = folder / CONFIG_FILE
    if config.exists() and config.read_bytes() != config_text.encode():
        raise RunFolderError(f"{config} exists and is not this run's: choose another folder")


def _check_format(store: RunStore) -> None:
    found = store.metadata.get("format")
    if found != FORMAT:
        raise RunFolderError(
            f"{store.folder} has run format {found}, expected {FORMAT}: "
            "use the version of bnnflow that made it"
        )


def _restore_config(store: RunStore, on_write: OnWrite) -> None:
    path = store.folder / CONFIG_FILE
    if not path.exists():
        with step(on_write, "config.write"):
            temporary_for(path).write_bytes(store.config_text.encode())
        with step(on_write, "config.publish"):
            publish(temporary_for(path), path)
    elif path.read_bytes() != store.config_text.encode():
        raise RunFolderError(
            f"{path} differs from the config this run was made with: delete it to get that one "
            "back, or start a run of the new config in another folder"
        )


def _described(metadata: Mapping[str, Any]) -> dict[str, Any]:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"format": FORMAT, "created": created, "versions": _versions(), **metadata}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = distributions.version(name)
        except distributions.PackageNotFoundError:
            continue
    return found

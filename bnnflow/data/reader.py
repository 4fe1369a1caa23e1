"""Reading a run, also while its coordinator writes it: no lock, nothing written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bnnflow.data.headline import decode
from bnnflow.data.runfile import DAMAGE, snapshot, view_in_memory
from bnnflow.data.segments import last_segment, read_origin, read_segment, segment_path
from bnnflow.data.tables import (
    TABLES,
    Decisions,
    Failures,
    Labels,
    Timing,
    Trajectory,
    Updates,
    columns,
)
from bnnflow.data.view import last_commit
from bnnflow.errors import RunFolderError
from bnnflow.records import IntArray, LoopState


@dataclass(frozen=True, eq=False)
class RunData:
    """A run up to its last commit.

    commit: number of that commit; numbers: (n_atoms,) atomic numbers; state: the committed one.
    """

    commit: int
    config_text: str
    metadata: Mapping[str, Any]
    numbers: IntArray
    state: LoopState
    trajectory: Trajectory
    decisions: Decisions
    labels: Labels
    updates: Updates
    failures: Failures
    timing: Timing


def read_run(folder: Path) -> RunData:
    """Read a run up to its last commit.

    Raises RunFolderError when there is no run, or a commit is missing or damaged.
    """
    data = snapshot(folder)  # before the commits are counted, so that it is never ahead of them
    last = last_segment(folder)
    if last < 0:
        missing = segment_path(folder, 0)
        raise RunFolderError(f"{folder} holds no run ({missing} is missing): check the path")
    if data is not None and decode(data)["commit"] > last:
        data = None  # the last commit was moved away by hand
    try:
        return _read(folder, last, data)
    except DAMAGE:
        if data is None:
            raise
        return _read(folder, last, None)


def _read(folder: Path, last: int, data: bytes | None) -> RunData:
    with view_in_memory(folder, last, data) as file:
        number = last_commit(file)
        tables = {name: _table(file[name], kind) for name, kind in TABLES.items()}
    state = read_segment(folder, number).state
    origin = read_origin(folder)
    numbers = state.checkpoint.structure.numbers
    return RunData(number, origin.config_text, origin.metadata, numbers, state, **tables)


def _table(group: h5py.Group, kind: type) -> Any:
    return kind(**{name: _column(group[name]) for name in columns(kind)})


def _column(dataset: h5py.Dataset) -> np.ndarray | tuple[str, ...]:
    if h5py.check_string_dtype(dataset.dtype):
        return tuple(dataset.asstr()[()])
    return np.asarray(dataset[()])

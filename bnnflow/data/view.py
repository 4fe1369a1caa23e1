"""What run.h5 holds, and how a commit is added to it.

Datasets are resizable and only ever grow at their end. They are checksummed but not compressed:
float64 noise hardly shrinks, and a compressed chunk that is filled in several commits is written
anew at another place each time, so that the file would grow and not shrink.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import h5py
import numpy as np

from bnnflow.codec import write_record
from bnnflow.data.layout import OnWrite, silent, step
from bnnflow.data.rows import Rows, rows_of
from bnnflow.data.segments import Origin
from bnnflow.data.tables import TABLES, Column, columns
from bnnflow.errors import RunFolderError
from bnnflow.records import Commit, LoopState

CHUNK_BYTES = 16384


def create_view(file: h5py.File, origin: Origin, state: LoopState) -> None:
    """Lay out the empty tables of a run that has no commit yet.

    origin.metadata["timestep_fs"]: MD step, fs; state: the first one, which names the atoms.
    """
    structure = state.checkpoint.structure
    file.attrs.update({"commit": -1, "timestep_fs": origin.metadata["timestep_fs"]})
    file["numbers"] = structure.numbers
    file["pbc"] = structure.pbc
    file["config"] = origin.config_text
    for key, value in origin.metadata.items():
        file.require_group("metadata").attrs[key] = value if _simple(value) else json.dumps(value)
    for name, table in TABLES.items():
        group = file.create_group(name)
        for column_name, column in columns(table).items():
            _create_column(group, column_name, column, len(structure))


def check(commit: Commit, n_atoms: int) -> None:
    """Refuse events that the tables of a run of `n_atoms` atoms cannot hold.

    Raises RunFolderError naming the column, its shape and the one expected.
    """
    for event in commit.events:
        table, rows = rows_of(event, 0.0)
        m = len(next(iter(rows.values())))
        for name, column in columns(TABLES[table]).items():
            expected = (m, *_row_shape(column, n_atoms))
            found = rows[name].shape
            if m and not _fits(found, expected):
                raise RunFolderError(
                    f"{table}/{name} has shape {found}, expected {expected}: "
                    "give events of this run's atoms"
                )


def last_commit(file: h5py.File) -> int:
    """Number of the last commit in the view, -1 for none."""
    return int(file.attrs["commit"])


def replay(file: h5py.File, number: int, commit: Commit, on_write: OnWrite = silent) -> None:
    """Add the events of one commit; a commit that is there already is passed over."""
    if number <= last_commit(file):
        return
    for table, rows in _by_table(commit, float(file.attrs["timestep_fs"])).items():
        with step(on_write, f"view.{table}"):
            for name, values in rows.items():
                _append(file[table][name], values)
    file.attrs["commit"] = number


def put_state(file: h5py.File, state: LoopState) -> None:
    """Put the last committed state in the place of the one before."""
    file.pop("state", None)
    write_record(file.create_group("state"), state)


def _by_table(commit: Commit, timestep_fs: float) -> dict[str, dict[str, list[Any]]]:
    tables: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for event in commit.events:
        table, rows = rows_of(event, timestep_fs)
        _collect(tables[table], rows)
    return tables


def _collect(columns: dict[str, list[Any]], rows: Rows) -> None:
    for name, values in rows.items():
        columns[name].append(values)


def _append(dataset: h5py.Dataset, parts: list[Any]) -> None:
    width = max(part.shape[1] for part in parts) if _grows(dataset) else 0
    if _grows(dataset) and width > dataset.shape[1]:
        dataset.resize(width, axis=1)
    for part in parts:
        start = dataset.shape[0]
        dataset.resize(start + len(part), axis=0)
        where = np.s_[start:, : part.shape[1]] if _grows(dataset) else np.s_[start:]
        if part.size:
            dataset[where] = [_clean(text) for text in part] if part.dtype.kind == "U" else part


def _clean(text: str) -> str:
    """Text as HDF5 can hold it; a code's output may have null bytes and broken characters."""
    return str(text).replace("\0", "").encode(errors="replace").decode()


def _grows(dataset: h5py.Dataset) -> bool:
    return dataset.ndim == 2 and dataset.maxshape[1] is None


def _create_column(group: h5py.Group, name: str, column: Column, n_atoms: int) -> None:
    largest = _row_shape(column, n_atoms)
    chunk = tuple(8 if size is None else max(size, 1) for size in largest)
    text = column.kind is str
    rows = CHUNK_BYTES // (8 * int(np.prod(chunk, dtype=int)))
    group.create_dataset(
        name,
        shape=(0, *(size or 0 for size in largest)),
        maxshape=(None, *largest),
        chunks=(min(max(rows, 1), 512), *chunk),
        dtype=h5py.string_dtype() if text else np.dtype(column.kind),
        fillvalue=np.nan if column.kind is float else None,
        fletcher32=not text,
    )


def _row_shape(column: Column, n_atoms: int) -> tuple[int | None, ...]:
    sizes = {"atoms": n_atoms, "members": None, "regions": None}
    return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in column.shape)


def _fits(found: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(found) == len(expected) and all(
        want in (None, have) for have, want in zip(found, expected, strict=True)
    )


def _simple(value: Any) -> bool:
    return isinstance(value, (str, bool, int, float))

"""Where trajectories come from: a run, a production run, or any file that ASE reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread

from bnnflow.analysis.motion.trajectory import Motion
from bnnflow.analysis.run import load
from bnnflow.codec import load_record
from bnnflow.data import is_run
from bnnflow.errors import ConfigError, RunFolderError, StructureError
from bnnflow.records import FloatArray, PropagateRequest, Segment

REQUEST_FILE = "request.h5"
"""What a folder of production MD holds beside its stretches `NNNNNN.h5`."""


@dataclass(frozen=True, eq=False)
class Source:
    """A trajectory, and the labels asked for along it.

    name: where it came from; labels: (l,) fs, MD times of frames labelled because they were
    uncertain, None where no label could be asked for; times: (m,) fs of every MD step in the range.
    """

    name: str
    motion: Motion
    times: FloatArray
    labels: FloatArray | None = None


def read_source(
    path: Path,
    *,
    timestep_fs: float | None = None,
    first_ps: float = 0.0,
    last_ps: float = float("inf"),
    every: int = 1,
) -> Source:
    """Read a run folder, a folder of production MD or a trajectory file.

    timestep_fs: time between two frames of a file, which is needed there and refused elsewhere;
    first_ps, last_ps: range of MD time; every: take each n-th frame (labels keep their times).
    Raises ConfigError when there is nothing to read at `path`, RunFolderError and StructureError
    when it cannot be used.
    """
    folder = path.is_dir()
    if folder and timestep_fs is not None:
        raise ConfigError(f"{path} knows its time step: leave out --timestep-fs, it is for files")
    whole = _folder(path) if folder else _file(path, timestep_fs)
    kept = whole.motion.between(1000.0 * first_ps, 1000.0 * last_ps)
    return replace(whole, motion=kept.rows(slice(None, None, every)), times=kept.times)


def _folder(path: Path) -> Source:
    if is_run(path):
        return _run(path)
    if (path / REQUEST_FILE).is_file():
        return _production(path)
    raise RunFolderError(f"{path} holds neither a run nor production MD: check the path")


def _run(path: Path) -> Source:
    run = load(path)
    table, like = run.data.trajectory, run.data.state.checkpoint.structure
    motion = Motion(like.numbers, table.positions, table.cells, like.pbc, table.time_fs)
    asked = run.data.labels.time_fs[run.interventions]
    return Source(str(path), motion, motion.times, asked)


def _production(path: Path) -> Source:
    request = load_record(path / REQUEST_FILE, PropagateRequest)
    files = sorted(path.glob("[0-9]*.h5"), key=lambda file: int(file.stem))
    if not files:
        raise RunFolderError(f"{path} holds no stretch of MD yet: let the production run begin")
    stretches = [load_record(file, Segment) for file in files]
    like = request.checkpoint.structure
    steps = np.concatenate([stretch.steps for stretch in stretches])
    motion = Motion(
        like.numbers,
        np.concatenate([stretch.positions for stretch in stretches]),
        np.concatenate([stretch.cells for stretch in stretches]),
        like.pbc,
        steps * request.dynamics.timestep_fs,
    )
    return Source(str(path), motion, motion.times)


def _file(path: Path, timestep_fs: float | None) -> Source:
    if not path.is_file():
        raise ConfigError(f"{path} does not exist: give a run folder or a trajectory file")
    if timestep_fs is None or not timestep_fs > 0.0:
        raise ConfigError(
            f"time between the frames of {path} is {timestep_fs}, expected fs: give --timestep-fs"
        )
    frames = _read(path)
    first = frames[0]
    if any(not np.array_equal(frame.numbers, first.numbers) for frame in frames):
        raise StructureError(f"{path} holds frames of different atoms: expected one trajectory")
    motion = Motion(
        np.asarray(first.numbers, dtype=np.int64),
        np.array([frame.positions for frame in frames]),
        np.array([frame.cell.array for frame in frames]),
        np.asarray(first.pbc, dtype=bool),
        timestep_fs * np.arange(len(frames), dtype=np.float64),
    )
    return Source(str(path), motion, motion.times)


def _read(path: Path) -> list[Atoms]:
    """All frames; whatever ASE says of a file it cannot read becomes one line."""
    try:
        frames = list(iread(path, index=":"))
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise StructureError(f"{path} is no trajectory that ASE reads: {reason}") from error
    if not frames:
        raise StructureError(f"{path} holds no frame: expected a trajectory")
    return frames

"""The little of a run that says where it stands, read without its frames.

A campaign has hundreds of runs, and `read_run` takes the bytes of a whole run.h5. Here single
columns are read from the file itself; the headline, looked at before and after, says whether a
commit came in between.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from bnnflow.codec import read_field
from bnnflow.data.headline import read_headline
from bnnflow.data.layout import RUN_FILE
from bnnflow.data.reader import RunData, read_run
from bnnflow.data.runfile import DAMAGE
from bnnflow.data.tables import Timing
from bnnflow.records import Calibration, Estimates, FloatArray, IntArray, Phase

PATIENCE_S = 0.1
"""How long a file under change is waited for before the commits are read instead."""
_TAIL = 64


@dataclass(frozen=True, eq=False)
class Gist:
    """A run up to its last commit, without frames. Energies in eV, seconds of wall time.

    estimates: the calibrations beside `calibration`; last_std: newest sigma*, NaN when there is
    none; label_*: (n_labels,), std and error NaN for the first frame; label_reason: why each was
    asked for; update_seconds: (n_updates,) summed over the tasks of each; failed, failed_seconds:
    task and seconds of each failure.
    """

    commit: int
    config_text: str
    n_atoms: int
    phase: Phase
    step: int
    calibration: Calibration
    estimates: Estimates
    n_requests: int
    last_std: float
    label_step: IntArray
    label_time_fs: FloatArray
    label_error: FloatArray
    label_std: FloatArray
    label_seconds: FloatArray
    label_reason: tuple[str, ...]
    update_seconds: FloatArray
    failed: tuple[str, ...]
    failed_seconds: FloatArray
    last_failure: str
    timing: Timing


def signature(folder: Path) -> tuple[int, int] | None:
    """What changes with every commit (time of writing in ns, bytes); None without a run.h5."""
    try:
        found = (folder / RUN_FILE).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def read_gist(folder: Path) -> Gist:
    """Read where a run stands, also while it is driven.

    Raises RunFolderError when there is no run, or a commit is missing or damaged.
    """
    found = glance(folder)
    return whole_gist(folder) if found is None else found


def glance(folder: Path) -> Gist | None:
    """The same from run.h5 alone; None when that is damaged, or written all the time."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := _from_file(folder)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def whole_gist(folder: Path) -> Gist:
    """The same from everything in the folder, its commits if need be; see `read_gist`."""
    return _of_data(read_run(folder))


def _from_file(folder: Path) -> Gist | None:
    """None while the file is written, or when it is damaged or missing."""
    path = folder / RUN_FILE
    before = read_headline(path)
    if before.get("state") != "clean":
        return None
    try:
        with h5py.File(path, "r", locking=False) as file:
            found = _of_file(file)
    except DAMAGE:
        return None
    return found if read_headline(path) == before else None


def _of_file(file: h5py.File) -> Gist:
    state, labels, failures = file["state"], file["labels"], file["failures"]
    messages = failures["message"]
    return Gist(
        commit=int(file.attrs["commit"]),
        config_text=file["config"].asstr()[()],
        n_atoms=file["numbers"].shape[0],
        phase=read_field(state, "phase"),
        step=read_field(state["checkpoint"], "step"),
        calibration=read_field(state, "calibration"),
        estimates=read_field(state, "estimates") or Estimates(),
        n_requests=read_field(state, "n_requests"),
        last_std=_last_std(file),
        label_step=labels["step"][()],
        label_time_fs=labels["time_fs"][()],
        label_error=labels["error"][()],
        label_std=labels["energy_std"][()],
        label_seconds=labels["seconds"][()],
        label_reason=_words(labels["reason"]),
        update_seconds=file["updates/seconds"][()],
        failed=_words(failures["task"]),
        failed_seconds=failures["seconds"][()],
        last_failure=messages.asstr()[-1] if len(messages) else "",
        timing=_timing(file["timing"]),
    )


def _of_data(data: RunData) -> Gist:
    """The same from everything that was read."""
    state, labels, failures = data.state, data.labels, data.failures
    return Gist(
        commit=data.commit,
        config_text=data.config_text,
        n_atoms=len(data.numbers),
        phase=state.phase,
        step=state.checkpoint.step,
        calibration=state.calibration,
        estimates=state.estimates,
        n_requests=state.n_requests,
        last_std=state.prediction.energy_std
        if state.prediction
        else _last_finite(data.trajectory.energy_std),
        label_step=labels.step,
        label_time_fs=labels.time_fs,
        label_error=labels.error,
        label_std=labels.energy_std,
        label_seconds=labels.seconds,
        label_reason=labels.reason,
        update_seconds=data.updates.seconds,
        failed=failures.task,
        failed_seconds=failures.seconds,
        last_failure=failures.message[-1] if failures.message else "",
        timing=data.timing,
    )


def _last_std(file: h5py.File) -> float:
    if "prediction" in file["state"]:
        return float(read_field(file["state/prediction"], "energy_std"))
    values = file["trajectory/energy_std"]
    tail = _last_finite(values[-_TAIL:])
    return tail if np.isfinite(tail) else _last_finite(values[()])


def _last_finite(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else float("nan")


def _words(dataset: Any) -> tuple[str, ...]:
    return tuple(dataset.asstr()[()])


def _timing(group: h5py.Group) -> Timing:
    return Timing(_words(group["kind"]), group["start_s"][()], group["seconds"][()])

"""`log.jsonl`: what happens to a run, one JSON object a line, for programs.

Every line begins with the same keys, in this order:

time      UTC, ISO 8601 with milliseconds, of the writing
run       name of the run folder
material  name of the material
event     one of EVENTS
step      MD steps taken when it happened

and goes on with the keys that EVENTS names for its event, in that order; docs/watching.md says what
each means. A number that is not known is null. The lines of all runs of a campaign are also in the
`log.jsonl` of its folder.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bnnflow.config import RunConfig
from bnnflow.data import add_session
from bnnflow.data.layout import LOG_FILE, RUNS, SHARED, is_campaign
from bnnflow.records import (
    Asked,
    Commit,
    Driven,
    Failed,
    Labelled,
    Phase,
    Session,
    Spent,
    Updated,
)
from bnnflow.units import to_kcal_per_mol
from executors.base import Executor

Write = Callable[[str], None]

HEAD = ("time", "run", "material", "event", "step")
"""Keys that every line has."""
EVENTS: Mapping[str, tuple[str, ...]] = {
    "started": ("site", "start_s", "update_tasks", "pools"),
    "driven": (
        "steps",
        "time_ps",
        "ensemble_version",
        "energy_std_kcal_per_mol",
        "limit_kcal_per_mol",
        "temperature_K",
    ),
    "asked": ("reason", "probability", "energy_std_kcal_per_mol", "limit_kcal_per_mol"),
    "labelled": (
        "label",
        "seconds",
        "host",
        "error_kcal_per_mol",
        "energy_std_kcal_per_mol",
        "calibration_count",
        "calibration_sum_squares",
    ),
    "updated": (
        "ensemble_version",
        "tasks",
        "seconds",
        "task_seconds",
        "energy_rmse_kcal_per_mol",
        "force_rmse_kcal_per_mol_A",
        "kinetic_temperature",
        "acceptance",
    ),
    "failed": ("task", "cause", "message", "action", "seconds", "host", "directory"),
    "spent": ("kind", "start_s", "seconds"),
    "notice": ("message",),
    "left": ("message",),
    "stopped": ("message",),
    "done": ("labels",),
}
"""Event -> its own keys, in order."""


@dataclass(eq=False)
class EventLog:
    """Writes the lines of one run. step: MD steps taken so far."""

    run: str
    material: str
    timestep_fs: float
    write: Write
    step: int = 0
    finished: bool = field(default=False, init=False)

    def start(self, session: Session) -> None:
        """Say that a session begins, and what pools it has."""
        self._put("started", *(asdict(session)[key] for key in EVENTS["started"]))

    def show(self, commit: Commit) -> None:
        """Write the events of a commit, in order; after the last one, that it is done."""
        self.step = commit.state.checkpoint.step
        for event in commit.events:
            self._event(event)
        if commit.state.phase is Phase.DONE and not self.finished:
            self.finished = True
            self._put("done", len(commit.state.labels))

    def notice(self, line: str) -> None:
        """What the pools have to tell."""
        self._put("notice", line)

    def leave(self, reason: str) -> None:
        """Why the run is left where it stands."""
        self._put("left", reason)

    def late(self, reason: str) -> None:
        """Why the run was stopped for lack of time; the next session goes on."""
        self._put("stopped", reason)

    def stop(self, error: Exception) -> None:
        """The error that ended the run."""
        self._put("stopped", str(error))

    def _event(self, event: Any) -> None:
        match event:
            case Driven():
                self._put("driven", *self._driven(event))
            case Asked(decision=d):
                numbers = (d.probability, *_kcal(d.energy_std, d.limit))
                self._put("asked", d.reason.value, *numbers, step=d.step)
            case Labelled():
                self._put("labelled", *_labelled(event), step=event.step)
            case Updated():
                self._put("updated", *_updated(event))
            case Failed(failure=f, action=action):
                where = (f.seconds, f.host, f.directory)
                self._put("failed", f.task, f.cause.value, f.message, action, *where)
            case Spent():
                self._put("spent", event.kind, event.start_s, event.seconds)

    def _driven(self, event: Driven) -> tuple[Any, ...]:
        segment = event.segment
        known = segment.energy_std[np.isfinite(segment.energy_std)]
        return (
            len(segment.steps),
            segment.checkpoint.step * self.timestep_fs / 1000.0,
            event.ensemble_version,
            *_kcal(known[-1] if len(known) else math.nan, event.limit),
            _mean(segment.temperature),
        )

    def _put(self, event: str, *values: Any, step: int | None = None) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        head = (now, self.run, self.material, event, self.step if step is None else step)
        pairs = [*zip(HEAD, head, strict=True), *zip(EVENTS[event], values, strict=True)]
        self.write(json.dumps({key: _plain(value) for key, value in pairs}, allow_nan=False))


def begin_session(
    folder: Path, config: RunConfig, executor: Executor, *, step: int, write: Write | None = None
) -> EventLog:
    """Note in a run folder that it is driven from now on, with which pools; returns its log.

    step: MD steps taken so far; write: takes the lines (default: `log_lines`).
    """
    chains = config.sampler.chains
    session = Session(
        start_s=round(time.time(), 3),
        site=executor.site,
        update_tasks=math.ceil(chains / executor.chains_per_task(chains)),
        pools={pool.value: size for pool, size in executor.sizes().items()},
    )
    add_session(folder, session)
    log = EventLog(
        run=folder.resolve().name,
        material=config.material.name,
        timestep_fs=config.dynamics.timestep_fs,
        write=write or log_lines(folder),
        step=step,
    )
    log.start(session)
    return log


def log_lines(folder: Path) -> Write:
    """A writer of lines to the log of a run, and of the campaign that it belongs to."""
    files = [folder / LOG_FILE]
    above = folder.resolve().parent
    if above.name in (RUNS, SHARED) and is_campaign(above.parent):
        files.append(above.parent / LOG_FILE)

    def write(line: str) -> None:
        for file in files:
            with suppress(OSError), file.open("a", encoding="utf-8") as log:  # as run.log
                log.write(line + "\n")

    return write


def _labelled(event: Labelled) -> tuple[Any, ...]:
    said = event.prediction
    std = math.nan if said is None else said.energy_std
    calibration = event.calibration
    return (
        event.name,
        event.label.seconds,
        event.label.host,
        *_kcal(event.error, std),
        calibration.count,
        calibration.sum_squares,
    )


def _updated(event: Updated) -> tuple[Any, ...]:
    results = event.results

    def mean(name: str) -> float:
        return _mean([value for result in results for value in getattr(result, name)])

    took = [result.seconds for result in results]
    return (
        event.ensemble.version,
        len(results),
        max(took, default=0.0),
        sum(took),
        *_kcal(mean("energy_rmse"), mean("force_rmse")),
        mean("kinetic_temperature"),
        mean("acceptance"),
    )


def _kcal(*values: float) -> tuple[float, ...]:
    return tuple(to_kcal_per_mol(float(value)) for value in values)


def _mean(values: Sequence[float] | Any) -> float:
    return float(np.mean(values)) if len(values) else math.nan


def _plain(value: Any) -> Any:
    """JSON has neither NaN nor numpy's numbers."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value

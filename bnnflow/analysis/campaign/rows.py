"""One run of many: its state and its figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bnnflow.analysis.campaign.costs import LAST_PIECE, asked_times_ps, label_rate
from bnnflow.analysis.campaign.spans import KINDS, Clock, Spans
from bnnflow.analysis.run import interventions
from bnnflow.config import RunConfig
from bnnflow.data import Gist, is_driven
from bnnflow.data.layout import LOG_FILE
from bnnflow.records import Phase
from bnnflow.uncertainty import energy_calibration, largest_trusted_std, predictive_std

STATES: tuple[str, ...] = (
    "stopped",
    "unreadable",
    "running",
    "left",
    "not started",
    "done",
    "set aside",
)
"""What a run may be in, in the order in which it asks for a look.

running: a coordinator holds its lock; stopped: none does, and it is not done; left: it was left
where it stands because it had enough; not started: no commit after the first, and nobody drives it;
set aside: a material that its campaign left out; unreadable: its folder is damaged.
"""
_ENDS = ("stopped", "left", "started")
_TAIL_BYTES = 8192


@dataclass(frozen=True)
class RunRow:
    """Where one run stands; a figure that is not defined yet is None.

    reason: of the state, "" for none; next: what the loop waits for; labels_per_ps,
    last_labels_per_ps: asked for by MD, over all of it and over its last quarter; above, asked:
    labels asked for whose error exceeded K, of how many; widening: errors over sigma* as
    calibrated; seconds: wall time by kind.
    """

    name: str
    folder: str
    material: str = ""
    state: str = "not started"
    reason: str = ""
    next: str = ""
    md_time_ps: float = 0.0
    md_length_ps: float | None = None
    labels: int = 0
    label_requests: int = 0
    labels_per_ps: float | None = None
    last_labels_per_ps: float | None = None
    above: int = 0
    asked: int = 0
    energy_std_over_limit: float | None = None
    widening: float | None = None
    seconds: Mapping[str, float] | None = None
    failures: int = 0
    last_failure: str = ""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def run_row(
    name: str, folder: Path, gist: Gist, config: RunConfig, spans: Spans, state: tuple[str, str]
) -> RunRow:
    """The figures of a run that was read. state: what it is in, and why."""
    threshold = config.threshold.energy_threshold_eV(gist.n_atoms)
    calibration = energy_calibration(gist.calibration, gist.estimates.audit, config.calibration.use)
    limit = largest_trusted_std(
        calibration, threshold=threshold, confidence=config.threshold.confidence
    )
    asked = interventions(gist.label_error, gist.label_std, gist.label_reason)
    time_ps = gist.step * config.dynamics.timestep_fs / 1000.0
    asked_ps = asked_times_ps(gist)
    return RunRow(
        name=name,
        folder=str(folder),
        material=config.material.name,
        state=state[0],
        reason=state[1],
        next="" if gist.phase is Phase.DONE else gist.phase.value,
        md_time_ps=time_ps,
        md_length_ps=config.dynamics.length_ps,
        labels=len(gist.label_step),
        label_requests=gist.n_requests,
        labels_per_ps=label_rate(asked_ps, time_ps),
        last_labels_per_ps=label_rate(asked_ps, time_ps, LAST_PIECE),
        above=int(np.count_nonzero(np.abs(gist.label_error[asked]) > threshold)),
        asked=int(asked.sum()),
        energy_std_over_limit=_finite(gist.last_std / limit),
        widening=float(predictive_std(calibration, std=1.0)),
        seconds={kind: Clock(spans.of(kind)).total for kind in KINDS},
        failures=len(gist.failed),
        last_failure=gist.last_failure,
    )


def state_of(folder: Path, gist: Gist) -> tuple[str, str]:
    """What a run is in, and why."""
    if gist.phase is Phase.DONE:
        return "done", ""
    if is_driven(folder):
        return "running", ""
    event, message = last_end(folder)
    if event == "left":
        return "left", message
    if event == "" and gist.commit == 0:
        return "not started", ""
    return "stopped", message if event == "stopped" else "interrupted"


def last_end(folder: Path) -> tuple[str, str]:
    """The last line of the run's log that says how a session ended, or that one began: its event
    and its message; empty without one.
    """
    for line in reversed(_tail(folder / LOG_FILE)):
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.get("event") in _ENDS:
            return str(found["event"]), str(found.get("message", ""))
    return "", ""


def _tail(file: Path) -> list[str]:
    try:
        with file.open("rb") as log:
            log.seek(max(0, file.stat().st_size - _TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None

"""The state of one material's loop, and the events that are committed with it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bnnflow.records.dynamics import Checkpoint, Forcing, Segment
from bnnflow.records.initial import InitialFrame
from bnnflow.records.requests import EnsembleRef, SampleResult
from bnnflow.records.structures import (
    Decision,
    Failure,
    FloatArray,
    Label,
    Prediction,
    Reason,
    Structure,
)


@dataclass(frozen=True)
class Calibration:
    """State of the on-the-fly calibration (METHOD 5).

    shape, scale: (a, b) of the Gamma prior over the precision factor lambda; count: n labelled
    errors; sum_squares: n M_n, the sum of (error / sigma*)^2 over them; decay: what an error still
    counts, in both, for each error after it (1: all count the same).
    """

    shape: float
    scale: float
    count: float = 0
    sum_squares: float = 0.0
    decay: float = 1.0


@dataclass(frozen=True)
class Estimates:
    """Calibrations beside that of the energies of requested labels; none where a run has none.

    audit: of the energy errors of audit labels; forces: of the force errors of requested labels,
    one per force region, in the plan's order; audit_forces: of those of audit labels.
    """

    audit: Calibration | None = None
    forces: tuple[Calibration, ...] = ()
    audit_forces: tuple[Calibration, ...] = ()


class Phase(StrEnum):
    """What the loop waits for next."""

    LABEL = "label"
    EXPLORE = "explore"
    INITIAL = "initial"
    UPDATE = "update"
    PROPAGATE = "propagate"
    DONE = "done"


@dataclass(frozen=True, eq=False)
class LoopState:
    """Everything the loop of one material needs to go on; the unit of commit and resume.

    n_labels: good labels in the data set; n_requests: label folders used so far, failed ones
    included; labels: folder names of the good ones, oldest first; frame, prediction: what is being
    labelled; reason: why it, or the last one, was asked for; substitute: what the next MD
    evaluation is given; energy_shift: eV, added to every reference energy (None before the first
    label); calibration: of requested labels, audits are in estimates; ahead: MD may go on with the
    ensemble while it is updated, for the label was within K (policy `rewind`);
    n_astray: stretches of MD that were taken back; rewound: whether the frame lies on one of them,
    so that its forces serve no step; fresh: chains that start anew in the update to come; n_new:
    labels that are new to it; initial: frames of the initial data that have no label yet;
    n_initial: labels that are initial data, next after that of the first frame.
    """

    phase: Phase
    checkpoint: Checkpoint
    calibration: Calibration
    labels: tuple[str, ...] = ()
    n_requests: int = 0
    energy_shift: float | None = None
    ensemble: EnsembleRef | None = None
    frame: Structure | None = None
    prediction: Prediction | None = None
    substitute: Forcing | None = None
    reason: Reason | None = None
    estimates: Estimates = Estimates()
    ahead: bool = False
    n_astray: int = 0
    rewound: bool = False
    fresh: tuple[int, ...] = ()
    n_new: int = 1
    initial: tuple[InitialFrame, ...] = ()
    n_initial: int = 0


@dataclass(frozen=True, eq=False)
class Driven:
    """Event: a stretch of MD was taken. probability: (m,) calibrated P(|error| < K)."""

    segment: Segment
    limit: float
    probability: FloatArray
    ensemble_version: int


@dataclass(frozen=True)
class Asked:
    """Event: the rule was applied to a frame that was not trusted, or is due for an audit."""

    decision: Decision


@dataclass(frozen=True, eq=False)
class Labelled:
    """Event: a label entered the data set.

    name: its folder; prediction: the ensemble's, made before any training on this label; shifted:
    eV, reference energy on the model's scale; error: eV, prediction minus shifted; calibration,
    estimates: after it; reason: why it was asked for, None in runs older than this field.
    """

    name: str
    step: int
    label: Label
    prediction: Prediction | None
    shifted: float
    error: float
    calibration: Calibration
    reason: Reason | None = None
    estimates: Estimates = Estimates()


@dataclass(frozen=True)
class Updated:
    """Event: every chain reached the next version."""

    ensemble: EnsembleRef
    results: tuple[SampleResult, ...]


@dataclass(frozen=True)
class Failed:
    """Event: a task failed and what was done about it."""

    failure: Failure
    action: str


@dataclass(frozen=True)
class Spent:
    """Event: wall time between two moments of the coordinator. kind: md, explore, label,
    update, queued or idle."""

    kind: str
    start_s: float
    seconds: float


Event = Driven | Asked | Labelled | Updated | Failed | Spent


@dataclass(frozen=True, eq=False)
class Commit:
    """What is written at once: the events since the last commit, and the state they lead to."""

    state: LoopState
    events: tuple[Event, ...]

"""Canned answers to the loop's requests: every answer depends on its request alone."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import h5py
import numpy as np

from bnnflow.codec import read_record, write_record
from bnnflow.records import (
    Calibration,
    Checkpoint,
    Commit,
    Dynamics,
    Failure,
    FailureCause,
    Handling,
    Label,
    LabelRequest,
    LoopState,
    Outcome,
    Phase,
    PotentialSpec,
    Prediction,
    PredictRequest,
    PropagateRequest,
    SampleRequest,
    SampleResult,
    ScheduleSpec,
    Segment,
    Structure,
)
from workflows.plan import Plan
from workflows.protocol import Loop

N_ATOMS = 3
RNG = np.random.PCG64(5).state


def structure(step: int) -> Structure:
    """Where the canned walker is after some steps."""
    return Structure(np.array([8, 1, 1]), np.arange(9.0).reshape(3, 3) + 0.01 * step)


def step_of(frame: Structure) -> int:
    """The step whose positions these are."""
    return round(100 * float(frame.positions[0, 0]))


def forces(frame: Structure, kind: float) -> np.ndarray:
    """Forces that tell who made them."""
    return kind + frame.positions


def reference_energy(frame: Structure) -> float:
    """Energy of the canned reference, eV."""
    return -2000.0 + 0.3 * step_of(frame)


def model_energy(frame: Structure, version: int) -> float:
    """Energy of the canned model: the foundation (version 0) or an ensemble."""
    return -50.0 + 0.1 * step_of(frame) + 0.01 * version


def prediction(frame: Structure, version: int) -> Prediction:
    """What an ensemble version says of a frame."""
    energy = model_energy(frame, version)
    std = np.full((N_ATOMS, 3), 0.1)
    return Prediction(energy, 0.5, 0.1, np.full(2, energy), forces(frame, 10.0 + version), std)


def plan(**changes: Any) -> Plan:
    """A plan of six steps and four chains in tasks of two."""
    values: dict[str, Any] = {
        "folder": "/run",
        "potential": PotentialSpec("canned"),
        "prior_std": 0.5,
        "head_prior_std": None,
        "reference": {"engine": "canned"},
        "handling": Handling(timeout_s=10.0),
        "dynamics": Dynamics("langevin", 0.5, ((0.0, 300.0),)),
        "n_steps": 6,
        "segment_steps": 4,
        "threshold": 1.0,
        "energy_std": 0.1,
        "confidence": 0.95,
        "schedule": ScheduleSpec("canned", steps=10, batch=2, step_size=1e-3),
        "n_members": 4,
        "chains_per_task": 2,
        "continue_on": "reference",
        "failure_budget": 2,
        "seed": 7,
    }
    return Plan(**(values | changes))


def first_state() -> LoopState:
    """The state in which a run is made."""
    checkpoint = Checkpoint(0, structure(0), np.zeros((N_ATOMS, 3)), None, {}, RNG)
    return LoopState(Phase.LABEL, checkpoint, Calibration(1.5, 10.0), frame=structure(0))


def failure(task: str, cause: FailureCause = FailureCause.CRASHED) -> Failure:
    """A task that gave no result."""
    return Failure(task, cause, "it went wrong", directory="/evidence")


class Answers:
    """What the pools would answer.

    uncertain: steps whose frame is not trusted with the first noise stream; bad_labels: names of
    label folders that fail; bad_chains: causes, one for each sampling task that is to fail, in
    turn.
    """

    def __init__(
        self,
        uncertain: Iterable[int] = (),
        bad_labels: Iterable[str] = (),
        bad_chains: Iterable[FailureCause] = (),
    ) -> None:
        self.uncertain = frozenset(uncertain)
        self.bad_labels = frozenset(bad_labels)
        self.bad_chains = list(bad_chains)
        self.by_kind: Mapping[type, Callable[[Any], Any]] = {
            PropagateRequest: self.propagate,
            LabelRequest: self.label,
            PredictRequest: self.predict,
            SampleRequest: self.sample,
        }

    def __call__(self, request: Any) -> Any:
        if isinstance(request, Commit):
            return None
        if isinstance(request, tuple):
            return tuple(self(each) for each in request)
        return self.by_kind[type(request)](request)

    def propagate(self, request: PropagateRequest) -> Segment:
        """Go to the end, or to the next step to be labelled that the request has no forcing for."""
        start = request.checkpoint.step
        known = -1 if request.substitute is None else step_of(_frame(request.substitute.positions))
        for step in range(start + 1, start + request.n_steps + 1):
            if step in self.uncertain - {known} and request.checkpoint.rng == RNG:
                return _segment(request, step - 1, structure(step))
            if step != known and step % (request.audit_every_steps or step + 1) == 0:
                return _audit(_segment(request, step - 1, structure(step)))
        return _segment(request, start + request.n_steps, None)

    def label(self, request: LabelRequest) -> Label | Failure:
        """The reference's answer."""
        frame = request.structure
        if request.directory.split("/")[-1] in self.bad_labels:
            return failure("label", FailureCause.NOT_CONVERGED)
        energy = reference_energy(frame)
        made = forces(frame, 1.0)
        return Label(frame, energy, made, None, "canned", request.directory, 1.0, "here")

    def predict(self, request: PredictRequest) -> tuple[Prediction, ...]:
        """The model's answer."""
        version = request.ensemble.version if request.ensemble else 0
        return tuple(prediction(frame, version) for frame in request.structures)

    def sample(self, request: SampleRequest) -> SampleResult | Failure:
        """Chains that arrived, or a failure if one is due."""
        if self.bad_chains:
            return failure("sample", self.bad_chains.pop(0))
        ones, errors = ((value,) * len(request.chains) for value in (1.0, 0.05))
        return SampleResult(
            request.version, request.chains, ones, errors, errors, ones, ones, 1.0, "here"
        )


class Store:
    """A run folder that only remembers. state: of the last commit."""

    def __init__(self, state: LoopState | None = None) -> None:
        self.state = state or first_state()
        self.commits: list[Commit] = []

    def commit(self, commit: Commit) -> None:
        """Keep it."""
        self.commits.append(commit)
        self.state = commit.state

    def close(self) -> None:
        """Nothing is open."""

    def events(self, kind: type) -> list[Any]:
        """Those of one kind, in order."""
        return [event for commit in self.commits for event in commit.events if type(event) is kind]


def play(loop: Loop, answers: Callable[[Any], Any]) -> list[Any]:
    """Everything a loop yields until it ends."""
    yielded: list[Any] = []
    reply = None
    try:
        while True:
            yielded.append(loop.send(reply))
            reply = answers(yielded[-1])
    except StopIteration:
        return yielded


def of_kind(yielded: list[Any], kind: type) -> list[Any]:
    """Those of one class, events of commits included, in order."""
    events = [event for item in yielded if isinstance(item, Commit) for event in item.events]
    requests = [each for item in yielded for each in (item if isinstance(item, tuple) else [item])]
    return [item for item in (*requests, *events) if isinstance(item, kind)]


def through_codec(state: LoopState) -> LoopState:
    """The state as the run folder gives it back."""
    with h5py.File(io.BytesIO(), "w") as file:
        write_record(file.create_group("state"), state)
        return read_record(file["state"], LoopState)


def _audit(stopped: Segment) -> Segment:
    """The same stop at a frame that the ensemble is sure of, where K is a few eV."""
    sure = replace(stopped.prediction, energy_std=0.2)
    return replace(stopped, outcome=Outcome.AUDIT, prediction=sure)


def _frame(positions: np.ndarray) -> Structure:
    return Structure(np.array([8, 1, 1]), positions)


def _segment(request: PropagateRequest, step: int, frame: Structure | None) -> Segment:
    begin = request.checkpoint
    m = step - begin.step
    checkpoint = Checkpoint(step, structure(step), begin.velocities, None, {}, begin.rng)
    return Segment(
        Outcome.FINISHED if frame is None else Outcome.UNCERTAIN,
        checkpoint,
        np.arange(begin.step, step) + 1,
        *np.full((4, m), 0.1),
        positions=np.zeros((m, N_ATOMS, 3)),
        cells=np.zeros((m, 3, 3)),
        frame=frame,
        prediction=prediction(frame, request.ensemble.version) if frame is not None else None,
    )

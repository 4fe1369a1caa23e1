"""Walkers of one material that share an ensemble, and the curator that samples it.

A walker's loop is that of `otf`; it hands its labels in instead of sampling, and goes on once a
version of the ensemble has seen them. The curator takes all labels that have come since its last
update into the next one. A label that still waits for the reference when a new version comes is
looked at again: it is called off if the frame is now trusted, and else takes its place among the
material's labels by how uncertain it is.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnnflow.records import (
    Asked,
    Commit,
    Decision,
    EnsembleRef,
    Labelled,
    LoopState,
    Phase,
    Prediction,
    PredictRequest,
    Reason,
    Structure,
)
from workflows.ahead import Ahead, SecondThoughts, meanwhile
from workflows.commons import Commons
from workflows.learner import Withdrawn
from workflows.learning import learnt, same_atoms, step_of_frame
from workflows.plan import Plan
from workflows.protocol import Begin, Drop, Loop, Rank, Request
from workflows.requests import forcing, judged, present
from workflows.updating import Learned, next_version

UNDOUBTED = (Reason.AUDIT, Reason.GUARD)
"""Reasons of labels that no better ensemble makes superfluous."""


def curate(commons: Commons, plan: Plan) -> Loop:
    """The curator's loop: update the ensemble as labels come, until no walker is left."""
    state = commons.state
    while True:
        if state.phase is not Phase.UPDATE:
            if not (yield commons.work()):
                break
            state, events = commons.take(state)
            yield Commit(state, events)
        ensemble, learned = yield from next_version(state, plan)
        state = replace(state, phase=Phase.PROPAGATE, ensemble=ensemble, fresh=())
        yield Commit(state, tuple(learned))
        commons.publish(state)
    if commons.finished:
        state = replace(state, phase=Phase.DONE)
        yield Commit(state, ())
    return state


class Shared:
    """How a walker learns with others.

    name: of its run; labelled: labels of an earlier session that the walker did not get to hand in,
    oldest first.
    """

    def __init__(self, commons: Commons, name: str, labelled: Sequence[Labelled] = ()) -> None:
        self._commons = commons
        self._name = name
        self._left_over = list(labelled)
        self._noted: list[Labelled] = []

    def newest(self, state: LoopState, plan: Plan) -> Generator[Request, Any, LoopState]:
        """With the newest version before each stretch of MD; without any, wait for one."""
        if state.phase is Phase.PROPAGATE:
            return self._commons.share(state)
        if state.ensemble is None and state.phase is Phase.LABEL:
            return (yield from self._begin(state, plan))
        return state

    def second_thoughts(self, state: LoopState, plan: Plan) -> SecondThoughts | None:
        """When a new version comes, where the frame was asked for because it was uncertain."""
        if state.prediction is None or state.rewound or state.reason in UNDOUBTED:
            return None
        return Reconsidered(self._commons, state, plan)

    def after_label(self, state: LoopState) -> LoopState:
        """With what the others' labels have taught meanwhile."""
        return self._commons.after_label(state)

    def n_labels(self, state: LoopState) -> int:  # noqa: ARG002
        """Those of all walkers."""
        return self._commons.n_labels

    def note(self, event: Labelled, state: LoopState) -> None:
        """Tell the others what it taught, and keep it to be handed in."""
        self._commons.learn(state)
        self._noted.append(event)

    def update(
        self, state: LoopState, plan: Plan, ahead: Ahead | None
    ) -> Generator[Request, Any, Learned]:
        """Hand the labels in, and wait for a version that has seen them."""
        if state.fresh:
            version = state.ensemble.version if state.ensemble else 0
            seen = self._commons.renew(state.fresh, version)
        else:
            events = self._handed(state, plan)
            seen = self._commons.hand_in(events, known_as(plan.folder, state.labels[-1]))
        yield from meanwhile(self._commons.awaited(seen), ahead)
        return present(self._commons.ensemble), []

    def _begin(self, state: LoopState, plan: Plan) -> Generator[Request, Any, LoopState]:
        """One walker labels its first frame; the others begin with the ensemble that follows."""
        while self._commons.ensemble is None:
            if self._commons.leads(self._name):
                return state
            yield self._commons.awaited(self._commons.newer_than(0))
        found = yield from _judge(self._commons, state, plan, step=0)
        if found is None:
            return state
        shared, prediction, decision = found
        known = same_atoms(present(state.frame), self._commons.state.checkpoint.structure)
        if decision.ask and not known:  # what the ensemble was trained on teaches no calibration
            asking = replace(shared, prediction=prediction, reason=decision.reason)
            yield Commit(asking, (Asked(decision),))
            return asking
        frame = present(state.frame)
        substitute = forcing(frame, prediction)
        going = replace(shared, phase=Phase.PROPAGATE, frame=None, substitute=substitute)
        yield Commit(going, (Asked(decision),))
        return going

    def _handed(self, state: LoopState, plan: Plan) -> list[Labelled]:
        """Labels that were not handed in yet, under the names that the curator knows them by.

        None where a session before this one handed them in, and ended.
        """
        events = [self._learn_again(state, plan, event) for event in self._left_over]
        events += sorted(self._noted, key=lambda event: event.name)
        self._left_over, self._noted = [], []
        return [replace(event, name=known_as(plan.folder, event.name)) for event in events]

    def _learn_again(self, state: LoopState, plan: Plan, event: Labelled) -> Labelled:
        """The label of a session that ended before the curator had it: what it teaches now."""
        after = self._commons.with_calibrations(state)
        counts = self._commons.n_labels >= plan.faults.uncalibrated_labels and not state.rewound
        if event.prediction is not None and counts:
            after = learnt(after, plan, event.label, event.prediction, event.error)
        self._commons.learn(after)
        return replace(event, calibration=after.calibration, estimates=after.estimates)


def known_as(folder: str | Path, label: str) -> str:
    """The curator's name of a label: its folder, seen from that of all runs.

    folder: of the walker's run; label: its name there.
    """
    return str(Path(Path(folder).name) / "labels" / label)


class Reconsidered:
    """Second thoughts about a label that waits, with each new version of the ensemble."""

    def __init__(self, commons: Commons, state: LoopState, plan: Plan) -> None:
        self._commons = commons
        self._state = state
        self._plan = plan
        self._version = present(state.ensemble).version
        self._news: Begin | None = None
        self.rank = present(state.prediction).energy_std

    def go_on(self) -> Generator[Request, Any, tuple[Begin, ...]]:
        """Listen for a newer version."""
        if self._news is None:
            self._news = Begin(self._commons.awaited(self._commons.newer_than(self._version)))
            yield self._news
        return (self._news,)

    def take(self, answer: Any, job: Begin) -> Generator[Request, Any, Withdrawn | None]:  # noqa: ARG002
        """Look at the frame again; call off the label of one that is trusted, if it waits."""
        self._news = None
        self._version = self._commons.version
        step = step_of_frame(self._state)
        found = yield from _judge(self._commons, self._state, self._plan, step=step)
        if found is None:
            return None
        shared, prediction, decision = found
        if decision.ask:
            yield Rank(job, prediction.energy_std)
            return None
        if not (yield Drop(job, if_waiting=True)):
            return None
        going = replace(shared, phase=Phase.PROPAGATE, frame=None, prediction=None, reason=None)
        return Withdrawn(going, Asked(replace(decision, reason=Reason.WITHDRAWN)))

    def forget(self) -> Generator[Request, Any, None]:
        """Listen no more."""
        if self._news is not None:
            yield Drop(self._news)
            self._news = None


def _judge(
    commons: Commons, state: LoopState, plan: Plan, *, step: int
) -> Generator[Request, Any, tuple[LoopState, Prediction, Decision] | None]:
    """The rule, applied to the frame in hand with the newest of what is common.

    None when the ensemble cannot be evaluated: then nothing is known that was not before.
    """
    shared = commons.share(state)
    ensemble: EnsembleRef = present(shared.ensemble)
    frame: Structure = present(state.frame)
    answer = yield PredictRequest(plan.potential, ensemble, plan.energy_std, (frame,))
    if not isinstance(answer, tuple):
        return None
    prediction: Prediction = answer[0]
    return shared, prediction, judged(shared, plan, prediction, step=step)

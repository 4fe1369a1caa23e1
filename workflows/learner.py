"""Who brings the ensemble to its next version: a loop alone, or with other walkers (`sharing`)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bnnflow.records import Asked, Labelled, LoopState
from workflows.ahead import Ahead, SecondThoughts
from workflows.plan import Plan
from workflows.pooling import CalibrationPool
from workflows.protocol import Request
from workflows.updating import Learned, next_version


@dataclass(frozen=True, eq=False)
class Withdrawn:
    """A label that is not wanted any more: the state to go on from, and why, as an event."""

    state: LoopState
    event: Asked


class Learner(Protocol):
    """Gives a loop its ensemble and its calibrations."""

    def newest(self, state: LoopState, plan: Plan) -> Generator[Request, Any, LoopState]:
        """The state with the newest of what is learnt, before its next phase."""
        ...

    def second_thoughts(self, state: LoopState, plan: Plan) -> SecondThoughts | None:
        """What may call off the label of the frame in hand while it waits."""
        ...

    def after_label(self, state: LoopState) -> LoopState:
        """The state with the calibrations that the label in hand is to enter."""
        ...

    def n_labels(self, state: LoopState) -> int:
        """Labels before the one in hand."""
        ...

    def note(self, event: Labelled, state: LoopState) -> None:
        """A label that is about to be committed, and the state with what it taught."""
        ...

    def update(
        self, state: LoopState, plan: Plan, ahead: Ahead | None
    ) -> Generator[Request, Any, Learned]:
        """An ensemble that has seen the last label, and events to commit with it."""
        ...


class Alone:
    """A loop that samples its own ensemble.

    pool, name: of a campaign that pools the priors of calibrations, and of the run there.
    """

    def __init__(self, pool: CalibrationPool | None = None, name: str = "") -> None:
        self._pool = pool
        self._name = name

    def newest(self, state: LoopState, plan: Plan) -> Generator[Request, Any, LoopState]:  # noqa: ARG002
        """What it has."""
        yield from ()
        return state

    def second_thoughts(self, state: LoopState, plan: Plan) -> SecondThoughts | None:  # noqa: ARG002
        """None: nothing is learnt while it waits."""
        return None

    def after_label(self, state: LoopState) -> LoopState:
        """What it has, with the prior that other materials give it."""
        if self._pool is None:
            return state
        return replace(state, calibration=self._pool.prior_for(self._name, state.calibration))

    def n_labels(self, state: LoopState) -> int:
        """Its own."""
        return len(state.labels)

    def note(self, event: Labelled, state: LoopState) -> None:  # noqa: ARG002
        """Let the pool know."""
        if self._pool is not None:
            self._pool.put(self._name, state.calibration)

    def update(
        self, state: LoopState, plan: Plan, ahead: Ahead | None
    ) -> Generator[Request, Any, Learned]:
        """Sample all chains."""
        return (yield from next_version(state, plan, ahead))

"""MD that goes on with the ensemble while a label or an update is under way (`rewind`).

Nothing of it counts before it is accepted: it lives in the loop, not in the run folder, and a run
that is killed takes it anew from the last commit. The label says whether the frame it went through
was within K; if so, whole stretches are accepted up to the first with a frame that the calibration,
the new label included, does not trust. If not, all of it is forgotten and MD returns to the frame.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from bnnflow.records import Driven, FloatArray, LoopState, Outcome, Segment
from workflows.learning import trusted_force_stds
from workflows.plan import Plan
from workflows.protocol import Begin, Drop, First, Request, Work
from workflows.requests import driven, propagate_request, trusted_std

_CALM = (Outcome.FINISHED, Outcome.UNCERTAIN, Outcome.AUDIT)
"""Ends of a stretch whose every step is sound."""


class Ahead:
    """The stretches that MD has taken beyond a state of the loop.

    state: where it starts, with the substitute that its first step is given; limit: largest trusted
    sigma* on it, eV.
    """

    def __init__(self, state: LoopState, plan: Plan) -> None:
        self._plan = plan
        self._state = state
        self._limit = trusted_std(state, plan)
        self._force_limits = trusted_force_stds(state, plan)
        self._stretches: list[Segment] = []
        self._open = True
        self._job: Begin | None = None

    def go_on(self) -> Generator[Request, Any, tuple[Begin, ...]]:
        """Begin the next stretch, if none is under way and there is one; returns what is."""
        remaining = self._plan.n_steps - self._state.checkpoint.step
        if self._job is None and self._open and remaining > 0:
            n_steps = min(self._plan.segment_steps, remaining)
            self._job = Begin(propagate_request(self._state, self._plan, n_steps, self._limit))
            yield self._job
        return () if self._job is None else (self._job,)

    def take(self, answer: Any) -> None:
        """Take in the stretch under way; an untrusted frame or a failure ends the going ahead."""
        self._job = None
        if not isinstance(answer, Segment):
            self._open = False
            return
        self._open = answer.outcome is Outcome.FINISHED
        if len(answer.steps) and answer.outcome in _CALM:
            self._stretches.append(answer)
            self._state = replace(self._state, checkpoint=answer.checkpoint, substitute=None)

    def accept(self, state: LoopState) -> tuple[LoopState, list[Driven]]:
        """The state and events once the frame it started from is known to be within K.

        state: with the calibration of now, still at the start; its ensemble is the one that drove.
        """
        limit = trusted_std(state, self._plan)
        forces = _tighter(self._force_limits, trusted_force_stds(state, self._plan))
        events = []
        for stretch in self._stretches:
            if not _trusted(stretch, limit, forces):
                break
            events.append(driven(state, self._plan, stretch, limit))
            state = replace(state, checkpoint=stretch.checkpoint, substitute=None)
        return state, events

    def forget(self) -> Generator[Request, Any, None]:
        """Wait for nothing more."""
        if self._job is not None:
            yield Drop(self._job)
            self._job = None


class SecondThoughts(Protocol):
    """May call off work that waits, for a reason that comes up meanwhile."""

    rank: float
    """Of the work, among its owner's that wait."""

    def go_on(self) -> Generator[Request, Any, tuple[Begin, ...]]:
        """What to listen to besides."""
        ...

    def take(self, answer: Any, job: Begin) -> Generator[Request, Any, Any | None]:
        """Think again; what to answer in the place of the work that is called off, or None."""
        ...

    def forget(self) -> Generator[Request, Any, None]:
        """Listen to nothing more."""
        ...


def meanwhile(
    work: Work, ahead: Ahead | None, thoughts: SecondThoughts | None = None
) -> Generator[Request, Any, Any]:
    """The answer to some work, while MD goes ahead; without `ahead`, just the answer.

    thoughts: what may call the work off.
    """
    if ahead is None and thoughts is None:
        return (yield work)
    job = Begin(work, rank=thoughts.rank if thoughts else math.inf)
    yield job
    while True:
        under_way = (yield from ahead.go_on()) if ahead else ()
        listening = (yield from thoughts.go_on()) if thoughts else ()
        ended, answer = yield First((job, *listening, *under_way))
        if thoughts and ended in listening:
            answer = yield from thoughts.take(answer, job)
            ended = ended if answer is None else job
        elif ahead and ended in under_way:
            ahead.take(answer)
        if ended is job:
            yield from _forget(ahead, thoughts)
            return answer


def _forget(ahead: Ahead | None, thoughts: SecondThoughts | None) -> Generator[Request, Any, None]:
    for each in (ahead, thoughts):
        if each is not None:
            yield from each.forget()


def _trusted(stretch: Segment, limit: float, force_ratio: float) -> bool:
    """Whether all its frames are; one that a substitute drove has no sigma of its own.

    force_ratio: the largest that is trusted of a force std over the limit of when it was taken.
    """
    doubtful = bool(np.any(stretch.energy_std > limit))
    if stretch.force_ratio is not None:
        doubtful |= not bool(np.all(stretch.force_ratio <= force_ratio))
    return not doubtful


def _tighter(before: FloatArray | None, now: FloatArray | None) -> float:
    """The least share of its limit that an atom still has."""
    if before is None or now is None:
        return 1.0
    judged = np.isfinite(before)  # atoms of no region have no limit
    return float(np.min(now[judged] / before[judged], initial=1.0))

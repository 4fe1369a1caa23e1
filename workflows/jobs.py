"""A piece of work that a loop waits for: its tasks in the pools, and their answers."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from bnnflow import tasks
from bnnflow.errors import PoolLostError, UserError
from bnnflow.records import (
    ExploreRequest,
    Failure,
    FailureCause,
    LabelRequest,
    PredictRequest,
    PropagateRequest,
    SampleRequest,
    SelectRequest,
)
from executors.base import Pool
from workflows.protocol import Await, Begin
from workflows.shares import Order, Share, Shares
from workflows.submission import Submission

Task = Callable[[Any], Any]
PLACES: Mapping[type, tuple[Pool, Task, str]] = {
    PropagateRequest: (Pool.MD, tasks.propagate, "md"),
    PredictRequest: (Pool.MD, tasks.predict, "md"),
    ExploreRequest: (Pool.MD, tasks.explore, "explore"),
    SelectRequest: (Pool.MD, tasks.select, "explore"),
    LabelRequest: (Pool.DFT, tasks.label, "label"),
    SampleRequest: (Pool.GPU, tasks.sample, "update"),
}
"""Which pool serves a request, with which task, and under what name its time is booked."""


def place_of(request: Any) -> tuple[Pool, Task, str]:
    """The row of `PLACES` of a request, or of the kind that it is a special case of."""
    kind = type(request)
    return PLACES.get(kind) or next(PLACES[base] for base in kind.__mro__ if base in PLACES)


class _Desk:
    """Where one task is handed in, again and again if it is lost: an executor of one owner."""

    def __init__(self, shares: Shares, share: Share, rank: float) -> None:
        self._shares = shares
        self._share = share
        self._rank = rank
        self._first: Order | None = None
        self._order: Order | None = None

    def submit(self, pool: Pool, task: Task, request: Any) -> Future[Any]:
        # What a label or an update has made is committed with a prediction on it, or not at all.
        finishing = isinstance(request, PredictRequest)
        self._order = self._shares.submit(
            self._share, pool, task, request, rank=self._rank, finishing=finishing
        )
        self._first = self._first or self._order
        return self._order.future

    def rank(self, rank: float) -> None:
        self._rank = rank
        if self._order is not None:
            self._order.rank = rank

    def drop(self) -> None:
        if self._order is not None:
            self._shares.drop(self._order)

    @property
    def late(self) -> bool:
        """Whether its turn came too late before the deadline."""
        return self._order is not None and self._order.late

    @property
    def may_take_s(self) -> float:
        """What tasks like this one have taken at most; 0: not known."""
        return self._shares.may_take(self._order) if self._order is not None else 0.0

    @property
    def began(self) -> float | None:
        """When it left the queue for the first time."""
        return self._first.began if self._first else None


class Call:
    """One submitted task, and its answer once it is there."""

    kind: str
    """Under what name its time is booked."""

    def __init__(self, request: Any, shares: Shares, share: Share, rank: float) -> None:
        self.request = request
        self.answer: Any = None
        self.kind = place_of(request)[2]
        self.desk = _Desk(shares, share, rank)
        pool, task, _ = place_of(request)
        self.submission = Submission(self.desk, pool, task, request)

    @property
    def future(self) -> Future[Any]:
        """Ends when there is something to read."""
        return self.submission.future

    @property
    def pool(self) -> Pool | None:
        """The pool that serves it."""
        return place_of(self.request)[0]

    @property
    def began(self) -> float | None:
        """When it left the coordinator's queue, on its clock; None while it waits there."""
        return self.desk.began

    @property
    def late(self) -> bool:
        """Whether its turn came too late before the deadline."""
        return self.desk.late

    @property
    def may_take_s(self) -> float:
        """What tasks like this one have taken at most; 0: not known."""
        return self.desk.may_take_s

    def rank(self, rank: float) -> None:
        """Its place among its owner's tasks that wait."""
        self.desk.rank(rank)

    def drop(self) -> None:
        """Let it not begin if it has not."""
        self.desk.drop()

    def settle(self, on_notice: Callable[[str], None]) -> bool:
        """Read the ended future: a record, or a lost worker, whose task is submitted again.

        Returns whether the answer is there. Raises what the user has to put right.
        """
        error = self.submission.future.exception()
        if error is None:
            self.answer = self.submission.future.result()
        elif isinstance(error, (UserError, PoolLostError)) or not isinstance(error, Exception):
            raise error
        elif self.submission.again(error):
            on_notice(f"{error}. Submitted again")
            return False
        else:
            self.answer = self._lost(error)
        return True

    def _lost(self, error: BaseException) -> Failure:
        return Failure(
            task=place_of(self.request)[1].__name__,
            cause=FailureCause.CRASHED,
            message=f"no answer after {self.submission.tries} tries "
            f"({type(error).__name__}: {error})",
            directory=getattr(self.request, "directory", ""),
            host=platform.node(),
        )


class Promise:
    """What another loop will give, waited for like a task; it takes no worker."""

    kind = "queued"
    pool: Pool | None = None
    began: float | None = None
    may_take_s = 0.0

    def __init__(self, promised: Await) -> None:
        self.future = promised.future
        self.answer: Any = None
        self._given_up = promised.given_up

    @property
    def late(self) -> bool:
        """Whether the other loop was left before it could give it."""
        return self._given_up()

    def settle(self, _on_notice: Callable[[str], None]) -> bool:
        """Read it; raises what the other loop ended with."""
        self.answer = self.future.result()
        return True

    def rank(self, rank: float) -> None:
        """Nothing waits in a queue."""

    def drop(self) -> None:
        """Nothing is to be called off."""


@dataclass(eq=False)
class Job:
    """What one `Begin` set going. began, ended: on the driver's clock, s; None while it runs."""

    begin: Begin
    calls: tuple[Call | Promise, ...]
    began: float
    ended: float | None = None

    @property
    def kind(self) -> str:
        """Under what name its time is booked."""
        return self.calls[0].kind

    @property
    def done(self) -> bool:
        """Whether every task has answered."""
        return all(call.answer is not None for call in self.calls)

    @property
    def late(self) -> bool:
        """Whether it comes to no end in this session: what it still lacks is not begun."""
        lacking = [call for call in self.calls if call.answer is None]
        return bool(lacking) and all(call.late for call in lacking)

    @property
    def answer(self) -> Any:
        """What the loop is sent: one answer, or a tuple in the order asked."""
        answers = tuple(call.answer for call in self.calls)
        return answers if isinstance(self.begin.work, tuple) else answers[0]

    @property
    def waiting(self) -> bool:
        """Whether no task of it has left the coordinator's queue."""
        return all(call.began is None for call in self.calls)

    @property
    def queued(self) -> float:
        """Seconds until the first of its tasks left the coordinator's queue."""
        times = [call.began for call in self.calls if call.began is not None]
        return max(0.0, min(times, default=self.began) - self.began)


def begin_job(begin: Begin, shares: Shares, share: Share, now: float) -> Job:
    """Submit what a loop asked for."""
    if isinstance(begin.work, Await):
        return Job(begin, (Promise(begin.work),), now)
    requests = begin.work if isinstance(begin.work, tuple) else (begin.work,)
    calls = tuple(Call(request, shares, share, begin.rank) for request in requests)
    return Job(begin, calls, now)

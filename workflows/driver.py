"""Advances many loops over the futures of the pools; the only writer of their run folders.

A loop that waits for a task holds nobody else up. What a loop asks to commit is written before the
loop is sent on. A task whose worker was lost is submitted again (`submission`); a task that reports
a failure is answered to its loop, which knows what to do about it.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field, replace
from typing import Any

from bnnflow import tasks
from bnnflow.data import RunStore
from bnnflow.errors import PoolLostError, UserError
from bnnflow.records import (
    Commit,
    Event,
    Failure,
    FailureCause,
    LabelRequest,
    PredictRequest,
    PropagateRequest,
    SampleRequest,
    Spent,
)
from executors.base import Executor, Pool
from workflows.otf import Loop
from workflows.submission import Submission

NOTICE_S = 5.0
"""How often the pools are asked what there is to tell, while no task ends."""

Task = Callable[[Any], Any]
PLACES: Mapping[type, tuple[Pool, Task, str]] = {
    PropagateRequest: (Pool.MD, tasks.propagate, "md"),
    PredictRequest: (Pool.MD, tasks.predict, "md"),
    LabelRequest: (Pool.DFT, tasks.label, "label"),
    SampleRequest: (Pool.GPU, tasks.sample, "update"),
}
"""Which pool serves a request, with which task, and under what name its time is booked."""


@dataclass(eq=False)
class Walker:
    """One material's loop with its run folder, and what it waits for."""

    name: str
    loop: Loop
    store: RunStore
    on_commit: Callable[[Commit], None]
    on_stop: Callable[[Exception], None] = field(default=lambda _: None)
    on_notice: Callable[[str], None] = field(default=lambda _: None)
    waiting: list[_Call] = field(default_factory=list)
    many: bool = False
    spent: list[Spent] = field(default_factory=list)
    idle_since: float = field(default_factory=time.time)


@dataclass(eq=False)
class _Call:
    """One submitted task, and its answer once it is there."""

    submission: Submission
    answer: Any = None

    @property
    def request(self) -> Any:
        """What the loop asked for."""
        return self.submission.request


def drive(walkers: Sequence[Walker], executor: Executor) -> None:
    """Advance every loop to its end.

    An error of one walker does not stop the others: they finish first, then it is raised.
    """
    errors: list[Exception] = []
    active = [walker for walker in walkers if _advance(walker, None, executor, errors)]
    while active:
        futures = [
            call.submission.future
            for walker in active
            for call in walker.waiting
            if call.answer is None
        ]
        wait(futures, timeout=NOTICE_S, return_when=FIRST_COMPLETED)
        _tell(active, executor)
        active = [walker for walker in active if _collect(walker, executor, errors)]
    if errors:
        raise errors[0]


def _collect(walker: Walker, executor: Executor, errors: list[Exception]) -> bool:
    """Take finished tasks in; go on when all are there. Returns whether the walker still runs."""
    try:
        for call in walker.waiting:
            if call.answer is None and call.submission.future.done():
                _settle(call, walker)
    except Exception as error:
        return _stop(walker, error, errors)
    if any(call.answer is None for call in walker.waiting):
        return True
    answers = tuple(call.answer for call in walker.waiting)
    _book(walker)
    return _advance(walker, answers if walker.many else answers[0], executor, errors)


def _settle(call: _Call, walker: Walker) -> None:
    """Read a finished future: a record, or a lost worker, whose task is submitted again."""
    error = call.submission.future.exception()
    if error is None:
        call.answer = call.submission.future.result()
    elif isinstance(error, (UserError, PoolLostError)) or not isinstance(error, Exception):
        raise error
    elif call.submission.again(error):
        walker.on_notice(f"{error}. Submitted again")
    else:
        call.answer = _lost(call, error)


def _tell(walkers: Sequence[Walker], executor: Executor) -> None:
    """Pass on what the pools have to say to the walkers that wait for them."""
    for pool, line in executor.notices():
        for walker in walkers:
            if any(PLACES[type(call.request)][0] is pool for call in walker.waiting):
                walker.on_notice(line)


def _advance(walker: Walker, answer: Any, executor: Executor, errors: list[Exception]) -> bool:
    """Send the loop on until it waits for tasks. Returns whether it still runs."""
    try:
        request = walker.loop.send(answer)
        while isinstance(request, Commit):
            _commit(walker, request)
            request = walker.loop.send(None)
        _start(walker, request, executor)
    except StopIteration:
        walker.store.close()
        return False
    except Exception as error:
        return _stop(walker, error, errors)
    return True


def _start(walker: Walker, request: Any, executor: Executor) -> None:
    """Submit what the loop asked for."""
    walker.many = isinstance(request, tuple)
    requests = request if isinstance(request, tuple) else (request,)
    _idle(walker)
    walker.waiting = [_Call(_submit(each, executor)) for each in requests]


def _commit(walker: Walker, commit: Commit) -> None:
    events: tuple[Event, ...] = (*walker.spent, *commit.events)
    walker.spent = []
    whole = replace(commit, events=events)
    walker.store.commit(whole)
    walker.on_commit(whole)


def _stop(walker: Walker, error: Exception, errors: list[Exception]) -> bool:
    walker.store.close()
    walker.on_stop(error)
    errors.append(error)
    return False


def _submit(request: Any, executor: Executor) -> Submission:
    pool, task, _ = PLACES[type(request)]
    return Submission(executor, pool, task, request)


def _book(walker: Walker) -> None:
    """Book the wall time of the tasks just finished."""
    now = time.time()
    kind = PLACES[type(walker.waiting[0].request)][2]
    walker.spent.append(Spent(kind, walker.idle_since, now - walker.idle_since))
    walker.waiting = []
    walker.idle_since = now


def _idle(walker: Walker) -> None:
    """Book the coordinator's own time since the last task ended."""
    now = time.time()
    walker.spent.append(Spent("idle", walker.idle_since, now - walker.idle_since))
    walker.idle_since = now


def _lost(call: _Call, error: BaseException) -> Failure:
    return Failure(
        task=PLACES[type(call.request)][1].__name__,
        cause=FailureCause.CRASHED,
        message=f"no answer after {call.submission.tries} tries ({type(error).__name__}: {error})",
        directory=getattr(call.request, "directory", ""),
        host=platform.node(),
    )

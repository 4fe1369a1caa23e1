"""Advances many loops over the pools; the only writer of their run folders.

A loop that waits for a task holds nobody else up. What a loop asks to commit is written before the
loop is sent on. A task whose worker was lost is submitted again (`submission`); a task that reports
a failure is answered to its loop, which knows what to do about it. When more tasks want a pool than
it has workers, `shares` says whose goes first. Before a deadline, runs whose next task would not
end in time are left, one by one, while what is under way for the others is taken in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from bnnflow.data import RunStore
from bnnflow.records import Commit, Event, Spent
from executors.base import Executor
from workflows.deadline import Deadline
from workflows.inbox import Inbox, WallClockInbox
from workflows.jobs import Call, Job, Promise, begin_job
from workflows.protocol import Begin, Drop, First, Loop, Rank
from workflows.shares import Share, Shares

NOTICE_S = 5.0
"""How often the pools are asked what there is to tell, while no task ends."""
QUEUED_S = 0.1
"""A shorter wait for room in a pool is booked with the task."""


@dataclass(eq=False)
class Walker:
    """One material's loop with its run folder, and what it waits for.

    on_commit, on_stop, on_notice: told what was written, the error that ended it, news of the
    pools; on_leave: why it is left where it stands; on_late: the same, for lack of time; on_end:
    that its loop has ended; enough: says after each commit why the run is to be left where it
    stands, "" while it is to go on; share: its claim on the pools; counted: whether it is one of
    the loops of which only so many are open.
    """

    name: str
    loop: Loop
    store: RunStore
    on_commit: Callable[[Commit], None]
    on_stop: Callable[[Exception], None] = field(default=lambda _: None)
    on_notice: Callable[[str], None] = field(default=lambda _: None)
    on_leave: Callable[[str], None] = field(default=lambda _: None)
    on_late: Callable[[str], None] = field(default=lambda _: None)
    on_end: Callable[[], None] = field(default=lambda: None)
    enough: Callable[[], str] = field(default=lambda: "")
    share: Share = field(default_factory=lambda: Share(""))
    counted: bool = True
    jobs: dict[Begin, Job] = field(default_factory=dict)
    waits: tuple[Begin, ...] = ()
    plain: bool = True
    spent: list[Spent] = field(default_factory=list)
    idle_since: float | None = None


def drive(
    walkers: Iterable[Walker],
    executor: Executor,
    *,
    most_open: int | None = None,
    inbox: Inbox | None = None,
    deadline: Deadline | None = None,
) -> None:
    """Advance every loop to its end, or to the deadline.

    walkers: taken from the iterable as there is room, at most `most_open` at once (None: all);
    inbox: the clock and the ends of tasks; deadline: is told when it leaves work. An error of one
    walker does not stop the others: they finish first, then it is raised.
    """
    driver = _Driver(executor, inbox or WallClockInbox(), deadline or Deadline())
    driver.drive(iter(walkers), most_open)


class _Driver:
    def __init__(self, executor: Executor, inbox: Inbox, deadline: Deadline) -> None:
        self._executor = executor
        self._inbox = inbox
        self._deadline = deadline
        self._shares = Shares(executor, inbox.now, deadline)
        self._more = True
        self._active: set[Walker] = set()
        self._n_counted = 0
        self._errors: list[Exception] = []

    def drive(self, walkers: Any, most_open: int | None) -> None:
        try:
            self._advance_all(walkers, most_open)
        finally:
            for walker in tuple(self._active):
                self._close(walker)
        if self._errors:
            raise self._errors[0]

    def _advance_all(self, walkers: Any, most_open: int | None) -> None:
        self._open(walkers, most_open)
        self._leave_late(over=False)
        while self._active:
            left_s = self._deadline.left_s(self._inbox.now())
            ended = self._inbox.take(min(NOTICE_S, left_s))
            self._shares.pump()
            self._tell()
            if ended is not None:
                self._hear(*ended)
            self._leave_late(over=ended is None and left_s == 0.0)
            if ended is not None:
                self._open(walkers, most_open)

    def _leave_late(self, *, over: bool) -> None:
        """Leave runs that cannot go on before the deadline; all of them when it is over."""
        if not (over or self._shares.late):
            return
        for walker in tuple(self._active):
            job = walker.jobs[walker.waits[0]]  # what the loop cannot do without
            if over or job.late:
                self._deadline.missed = True
                self._close(walker)
                walker.on_late(_lacking(job, self._deadline.left_s(self._inbox.now())))
                walker.on_end()

    def _open(self, walkers: Any, most_open: int | None) -> None:
        """Begin as many loops as there is room for."""
        while most_open is None or self._n_counted < most_open:
            if self._shares.late:
                self._deadline.missed |= self._more
                return
            fresh = list(islice(walkers, 1))
            if not fresh:
                self._more = False
                return
            walker = fresh[0]
            if walker.idle_since is None:
                walker.idle_since = self._inbox.now()
            self._active.add(walker)
            self._n_counted += walker.counted
            self._advance(walker, None)

    def _hear(self, walker: Walker, job: Job, call: Call | Promise) -> None:
        """Take in a task that ended; go on when it is what the loop waits for."""
        if walker not in self._active or walker.jobs.get(job.begin) is not job:
            return
        try:
            if not call.settle(walker.on_notice):
                self._follow(walker, job, call)
                return
        except Exception as error:
            self._stop(walker, error)
            return
        if job.done:
            job.ended = self._inbox.now()
            self._answer(walker)

    def _answer(self, walker: Walker) -> None:
        """Send the loop what it waits for, if that is there."""
        done = next((b for b in walker.waits if walker.jobs[b].done), None)
        if done is None:
            return
        job = walker.jobs.pop(done)
        walker.waits = ()
        _book(walker, job)
        self._advance(walker, job.answer if walker.plain else (done, job.answer))

    def _advance(self, walker: Walker, answer: Any) -> None:
        """Send the loop on until it waits for something, or ends."""
        try:
            while not walker.waits:
                request = walker.loop.send(answer)
                reason = "" if isinstance(request, Commit) or walker.jobs else walker.enough()
                if reason:  # not before: a loop that ends after its commit has ended
                    self._leave(walker, reason)
                    return
                answer = self._serve(walker, request)
        except StopIteration:
            self._close(walker)
            walker.on_end()
            return
        except Exception as error:
            self._stop(walker, error)
            return
        self._answer(walker)

    def _serve(self, walker: Walker, request: Any) -> Any:
        """Do what a loop asks for; what it is sent at once, unless it waits."""
        match request:
            case Commit():
                _commit(walker, request)
            case Begin():
                self._begin(walker, request)
            case Rank():
                for call in walker.jobs[request.job].calls:
                    call.rank(request.rank)
            case Drop():
                return self._drop(walker, request.job, if_waiting=request.if_waiting)
            case First():
                walker.waits, walker.plain = request.jobs, False
            case work:
                begin = Begin(work)
                self._begin(walker, begin)
                walker.waits, walker.plain = (begin,), True
        return None

    def _begin(self, walker: Walker, begin: Begin) -> None:
        now = self._inbox.now()
        if not walker.jobs:
            _idle(walker, now)
        job = begin_job(begin, self._shares, walker.share, now)
        walker.jobs[begin] = job
        for call in job.calls:
            self._follow(walker, job, call)

    def _follow(self, walker: Walker, job: Job, call: Call | Promise) -> None:
        self._inbox.follow(call.future, (walker, job, call))

    def _drop(self, walker: Walker, begin: Begin, *, if_waiting: bool = False) -> bool:
        """Forget a job; returns whether none of its tasks had begun."""
        job = walker.jobs.get(begin)
        if job is None or (if_waiting and not job.waiting):
            return False
        for call in walker.jobs.pop(begin).calls:
            call.drop()
        return job.waiting

    def _tell(self) -> None:
        """Pass on what the pools have to say to the walkers that wait for them."""
        for pool, line in self._executor.notices():
            for walker in self._active:
                if any(call.pool is pool for job in walker.jobs.values() for call in job.calls):
                    walker.on_notice(line)
        for line in self._deadline.news():
            for walker in self._active:
                walker.on_notice(line)

    def _leave(self, walker: Walker, reason: str) -> None:
        """Leave a run where it stands: it can be resumed."""
        self._close(walker)
        walker.on_leave(reason)
        walker.on_end()

    def _stop(self, walker: Walker, error: Exception) -> None:
        self._errors.append(error)
        self._close(walker)
        walker.on_stop(error)
        walker.on_end()

    def _close(self, walker: Walker) -> None:
        for begin in tuple(walker.jobs):
            self._drop(walker, begin)
        walker.loop.close()
        walker.store.close()
        self._n_counted -= walker.counted and walker in self._active
        self._active.discard(walker)


def _lacking(job: Job, left_s: float) -> str:
    """Why a run that waits for a job is left at the deadline."""
    if any(isinstance(call, Promise) for call in job.calls):
        return "time is up: the next version of the shared ensemble is not made in this session"
    if not job.late:
        return f"time is up: {job.kind} was under way, and will be done again"
    longest = max(call.may_take_s for call in job.calls)
    took = f", which took {longest:.0f} s before," if longest else ""
    return f"time is up: the next task, {job.kind}{took} is not begun with {left_s:.0f} s left"


def _commit(walker: Walker, commit: Commit) -> None:
    events: tuple[Event, ...] = (*walker.spent, *commit.events)
    walker.spent = []
    whole = replace(commit, events=events)
    walker.store.commit(whole)
    walker.on_commit(whole)


def _book(walker: Walker, job: Job) -> None:
    """Book the wall time of a job: waiting for room in its pool, and the rest."""
    ended = job.ended if job.ended is not None else job.began
    start = job.began
    if job.queued >= QUEUED_S:
        walker.spent.append(Spent("queued", job.began, job.queued))
        start += job.queued
    walker.spent.append(Spent(job.kind, start, ended - start))
    if not walker.jobs:
        walker.idle_since = ended


def _idle(walker: Walker, now: float) -> None:
    """Book the coordinator's own time since the last task ended."""
    since = walker.idle_since if walker.idle_since is not None else now
    walker.spent.append(Spent("idle", since, now - since))
    walker.idle_since = None

"""When a pool is given up: blocks that fail one after the other, and why, in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import takewhile
from typing import Any

from parsl.jobs.states import JobState, JobStatus

from bnnflow.errors import PoolLostError

IN_A_ROW = 3
"""Blocks that fail to no avail before their pool is given up."""

_SHOWN = 300


class GiveUpAfterThree:
    """Parsl's hook: ends all tasks of a pool whose last blocks have all failed to no avail.

    answered: how many tasks of the pool have come back with a result so far. Blocks that were
    cancelled, or ended with their walltime or their node, do not count; nor do three that failed
    beside one that works or waits in the queue, or did so and ended in such a way, or since the
    first of which a result has come back: in a long campaign every block may die some day, and
    several at once, and a user may have room for one job in the queue and not for two. Those are
    told of instead.
    """

    def __init__(self, answered: Callable[[], int]) -> None:
        self._answered = answered
        # block -> results that had come back when it was first seen
        self._before: dict[str, int] = {}
        self._excused = -1  # the newest block when one ended otherwise
        self._ended: set[str] = set()
        self._news: list[str] = []
        self._told = 0

    def __call__(self, executor: Any, status: Mapping[str, JobStatus]) -> None:
        """Look at the states of all blocks there have been."""
        now = self._answered()
        for name in status:
            self._before.setdefault(name, now)
        self._note_ends(status)
        failed = newest_failures(status)[:IN_A_ROW]
        if len(failed) < IN_A_ROW:
            return
        newest, oldest = failed[0], failed[-1]
        why = f"{IN_A_ROW} blocks in a row have failed; the last one: {_why(status[newest])}"
        excused = int(oldest) <= self._excused
        if some_live(status) or excused or self._before[oldest] != now:
            self._tell(int(newest), why)
        else:
            executor.set_bad_state_and_fail_all(
                PoolLostError(f"pool {executor.label} does not work: {why}")
            )

    def news(self) -> list[str]:
        """What there is to tell since the last call."""
        told, self._news = self._news, []
        return told

    def _note_ends(self, status: Mapping[str, JobStatus]) -> None:
        """A block that ends through no fault of its own excuses those that failed beside it."""
        well = {name for name, job in status.items() if job.terminal and not _failed(job)}
        if well - self._ended:
            self._ended |= well
            self._excused = max(map(int, status))

    def _tell(self, block: int, why: str) -> None:
        """Ever more rarely: where one node is broken its jobs fail for as long as others work."""
        if block >= 2 * self._told:
            self._told = max(block, 1)
            self._news.append(f"work goes on, but {why}")


def newest_failures(status: Mapping[str, JobStatus]) -> list[str]:
    """The newest blocks that have failed, the newest first, back to one that has not; those that
    wait in the queue are passed over."""
    begun = [name for name, job in status.items() if job.state is not JobState.PENDING]
    newest_first = sorted(begun, key=int, reverse=True)
    return list(takewhile(lambda name: _failed(status[name]), newest_first))


def some_live(status: Mapping[str, JobStatus]) -> bool:
    """Whether a block works, or waits in the queue."""
    return any(job.state in (JobState.RUNNING, JobState.PENDING) for job in status.values())


def _failed(job: JobStatus) -> bool:
    return job.state in (JobState.FAILED, JobState.MISSING)


def _why(job: JobStatus) -> str:
    """What the block itself said last, else what Parsl says about it."""
    own = " ".join((job.stderr_summary or "").split())[-_SHOWN:]
    if own:
        return f"{own} (see {job.stderr_path})"
    return " ".join(str(job.message or "it gave no message").split())

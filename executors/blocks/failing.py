"""When a pool is given up: blocks that fail one after the other, and why, in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from parsl.jobs.states import JobState, JobStatus

from bnnflow.errors import PoolLostError

IN_A_ROW = 3
"""Blocks that fail, while no task comes back, before their pool is given up."""

_SHOWN = 300


class GiveUpAfterThree:
    """Parsl's hook: ends all tasks of a pool whose last blocks have all failed to no avail.

    answered: how many tasks of the pool have come back so far. Blocks that were cancelled, or ended
    with their walltime or their node, do not count; nor do three that failed while work came back:
    in a long campaign every block may die some day.
    """

    def __init__(self, answered: Callable[[], int]) -> None:
        self._answered = answered
        self._before: dict[
            str, int
        ] = {}  # what had come back when a block was found to have failed

    def __call__(self, executor: Any, status: Mapping[str, JobStatus]) -> None:
        """Look at the states of all blocks there have been."""
        now = self._answered()
        names = sorted(status, key=int)
        for name in names:
            if _failed(status[name]):
                self._before.setdefault(name, now)
        last = names[-IN_A_ROW:]
        failed = [name for name in last if _failed(status[name])]
        if len(failed) == IN_A_ROW and self._before[failed[0]] == now:
            executor.set_bad_state_and_fail_all(
                PoolLostError(
                    f"pool {executor.label} cannot start: {IN_A_ROW} blocks in a row have failed; "
                    f"the last one: {_why(status[failed[-1]])}"
                )
            )


def _failed(job: JobStatus) -> bool:
    return job.state in (JobState.FAILED, JobState.MISSING)


def _why(job: JobStatus) -> str:
    """What the block itself said last, else what Parsl says about it."""
    own = " ".join((job.stderr_summary or "").split())[-_SHOWN:]
    if own:
        return f"{own} (see {job.stderr_path})"
    return " ".join(str(job.message or "it gave no message").split())

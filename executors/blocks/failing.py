"""When a pool is given up: blocks that fail one after the other, and why, in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from parsl.jobs.states import JobState, JobStatus

from bnnflow.errors import PoolLostError

IN_A_ROW = 3
"""Blocks that may fail to start or end in an error before their pool is given up."""

_SHOWN = 300


def give_up_after_three(executor: Any, status: Mapping[str, JobStatus]) -> None:
    """Parsl's hook: ends all tasks of a pool whose last blocks have all failed.

    Blocks that were cancelled, or ended with their walltime or their node, do not count.
    """
    last = [status[name] for name in sorted(status, key=int)[-IN_A_ROW:]]
    failed = [job for job in last if job.state in (JobState.FAILED, JobState.MISSING)]
    if len(failed) == IN_A_ROW:
        executor.set_bad_state_and_fail_all(
            PoolLostError(
                f"pool {executor.label} cannot start: {IN_A_ROW} blocks in a row have failed; the "
                f"last one: {_why(failed[-1])}"
            )
        )


def _why(job: JobStatus) -> str:
    """What the block itself said last, else what Parsl says about it."""
    own = " ".join((job.stderr_summary or "").split())[-_SHOWN:]
    if own:
        return f"{own} (see {job.stderr_path})"
    return " ".join(str(job.message or "it gave no message").split())

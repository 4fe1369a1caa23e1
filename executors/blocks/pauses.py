"""When the next block may be asked for, where blocks fail beside others that live.

Parsl asks for another one at every look, five times a second: for ever where one block keeps the
pool alive while the scheduler refuses others, or they fail as they begin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from parsl.jobs.states import JobState, JobStatus

from executors.blocks.failing import IN_A_ROW, newest_failures, some_live

FIRST_S, LONGEST_S = 10.0, 600.0
YOUNG_S = 60.0
"""A block that has been at work for less may still fail, and ends no row of failures."""


class Pauses:
    """How many blocks of one pool may be asked for: those wanted, or one at a time and ever more
    rarely, until one has worked for a minute."""

    def __init__(self) -> None:
        self._asked_at = -math.inf
        self._at_work_since: dict[str, float] = {}

    def allowed(self, wanted: int, status: Mapping[str, JobStatus], now: float) -> int:
        """Blocks to ask for now. status: of all blocks there have been; now: s, on any clock."""
        failed = len(newest_failures(self._without_young(status, now)))
        pause = pause_s(failed) if some_live(status) else 0.0
        if now < self._asked_at + pause:
            return 0
        self._asked_at = now
        return min(wanted, 1) if pause else wanted

    def _without_young(self, status: Mapping[str, JobStatus], now: float) -> dict[str, JobStatus]:
        running = [name for name, job in status.items() if job.state is JobState.RUNNING]
        for name in running:
            self._at_work_since.setdefault(name, now)
        young = {name for name in running if now < self._at_work_since[name] + YOUNG_S}
        return {name: job for name, job in status.items() if name not in young}


def pause_s(in_a_row: int) -> float:
    """Seconds from one block to the next after so many that failed: none before the pool could
    have been given up."""
    beyond = min(in_a_row - IN_A_ROW, 16)
    return 0.0 if beyond < 0 else min(LONGEST_S, FIRST_S * 2.0**beyond)

"""Parsl's executors with three of its rules for scaling put right.

Asked to give back no more blocks than are idle, Parsl's HighThroughputExecutor also gives back
those that still wait in the queue, and, asked for none, all of them. A block that is refused, or
fails as it starts, it replaces at once, for ever, as long as another one keeps the pool alive. And
it takes the MPIExecutor for one that runs as many tasks on each node of a block as in the whole
block.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

from parsl.executors import HighThroughputExecutor, MPIExecutor
from parsl.jobs.states import JobState, JobStatus

from executors.blocks.failing import IN_A_ROW, failed_in_a_row, some_live

FIRST_PAUSE_S, LONGEST_PAUSE_S = 10.0, 600.0
YOUNG_S = 60.0


class Workers(HighThroughputExecutor):
    """Workers of a size; with max_idletime, only blocks that have worked are given back."""

    _asked_at = -math.inf

    def scale_out_facade(self, n: int) -> list[str]:
        """Ask for `n` blocks; once several have failed in a row beside others that live, for one at
        a time, ever more rarely, until one has worked for a minute. Returns the ids of those
        accepted.
        """
        now, status = time.monotonic(), self.status_facade
        failed = failed_in_a_row(self._without_young(status, now))
        pause = pause_s(failed) if some_live(status) else 0.0
        if now < self._asked_at + pause:
            return []
        self._asked_at = now
        return list(super().scale_out_facade(min(n, 1) if pause else n))

    def _without_young(self, status: Mapping[str, JobStatus], now: float) -> dict[str, JobStatus]:
        """Blocks but for those that have just begun, and may still fail."""
        seen: dict[str, float] = self.__dict__.setdefault("_seen_at_work", {})
        for name, job in status.items():
            if job.state is JobState.RUNNING:
                seen.setdefault(name, now)
        return {
            name: job
            for name, job in status.items()
            if job.state is not JobState.RUNNING or now - seen[name] >= YOUNG_S
        }

    def scale_in(self, blocks: int, max_idletime: float | None = None) -> list[str]:
        """Cancel up to `blocks` blocks, the longest idle first; max_idletime, s: and only those
        that have been idle for longer. Returns their ids.
        """
        if max_idletime is None:
            return list(super().scale_in(blocks))
        idle = idle_blocks(self.connected_managers(), max_idletime)[: max(0, blocks)]
        for block in idle:
            self._hold_block(block)
        jobs = [self.blocks_to_job_id[block] for block in idle if block in self.blocks_to_job_id]
        ended = self._filter_scale_in_ids(jobs, self.provider.cancel(jobs)) if jobs else []
        return [self.job_ids_to_block[job] for job in ended]


class WholeNodes(Workers, MPIExecutor):
    """Labels on nodes of their own."""

    @property
    def workers_per_node(self) -> float:
        """Labels at once in a block, per node of it."""
        return float(self.max_workers_per_block / self.provider.nodes_per_block)


def pause_s(in_a_row: int) -> float:
    """Seconds from one block to the next after so many that failed: none before the pool could
    have been given up."""
    beyond = min(in_a_row - IN_A_ROW, 16)
    return 0.0 if beyond < 0 else min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**beyond)


def idle_blocks(managers: Sequence[Mapping[str, Any]], max_idle_s: float) -> list[str]:
    """Blocks none of whose nodes has a task, all idle for longer, the longest first."""
    least: dict[str, float] = {}
    for manager in managers:
        if manager["active"]:
            idle = 0.0 if manager["tasks"] else float(manager["idle_duration"])
            block = str(manager["block_id"])
            least[block] = min(idle, least.get(block, idle))
    longest_first = sorted(least, key=lambda block: -least[block])
    return [block for block in longest_first if least[block] > max_idle_s]

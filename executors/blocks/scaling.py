"""Parsl's executors with three of its rules for scaling put right.

Asked to give back no more blocks than are idle, Parsl's HighThroughputExecutor also gives back
those that still wait in the queue, and, asked for none, all of them. A block that fails it replaces
at once, for ever (`pauses`). And it takes the MPIExecutor for one that runs as many tasks on each
node of a block as in the whole block.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from parsl.executors import HighThroughputExecutor, MPIExecutor

from executors.blocks.pauses import Pauses


class Workers(HighThroughputExecutor):
    """Workers of a size; with max_idletime, only blocks that have worked are given back."""

    @cached_property
    def _pauses(self) -> Pauses:
        return Pauses()

    def scale_out_facade(self, n: int) -> list[str]:
        """Ask for `n` blocks, or fewer or none while they fail beside others (`Pauses`). Returns
        the ids of those that were accepted.
        """
        allowed = self._pauses.allowed(n, self.status_facade, time.monotonic())
        return list(super().scale_out_facade(allowed)) if allowed else []

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

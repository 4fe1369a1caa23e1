"""What there is to say about jobs that wait in a queue: once, and again when it has doubled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from executors.blocks.queue import Job

FIRST_S = 60.0
"""Waiting that is not worth a line."""


@dataclass
class QueueNotices:
    """The notices of one pool. What was said is remembered, so that it is not said again."""

    pool: str
    _said: str = ""
    _next_s: float = field(default=FIRST_S)

    def news(self, waiting: Sequence[tuple[float, Job]]) -> list[str]:
        """Lines about jobs: for each, seconds since it was submitted and what the queue says."""
        if not waiting:
            return self._started()
        longest, job = max(waiting, key=lambda item: (item[1].stuck, item[0]))
        if job.stuck and job.reason != self._said:
            self._said = job.reason
            return [f"pool {self.pool}: its job will not start by itself ({job.reason})"]
        if longest < self._next_s or job.stuck:
            return []
        self._next_s = 2.0 * longest
        many = f"{len(waiting)} jobs wait" if len(waiting) > 1 else "its job waits"
        why = f" ({job.reason})" if job.reason else ""
        return [f"pool {self.pool}: {many} in the queue, for {_span(longest)} so far{why}"]

    def _started(self) -> list[str]:
        told = self._said or self._next_s > FIRST_S
        self._said, self._next_s = "", FIRST_S
        return [f"pool {self.pool}: its jobs have left the queue"] if told else []


def _span(time_s: float) -> str:
    minutes = round(time_s / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"

"""When runs were busy with what, and how many tasks that put into each pool.

A span is a stretch of wall time of one run, as the coordinator booked it. An update counts with all
its tasks until the last one has ended. A task is in its pool from the moment it is sent there,
also while it waits for a worker; what waits in the coordinator for room is `queued`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bnnflow.data import Timing
from bnnflow.records import FloatArray, IntArray

KINDS: tuple[str, ...] = ("md", "label", "update", "queued", "idle", "explore")
"""Kinds of wall time; a span's kind is an index into them. explore: making initial data."""
IN_POOL: Mapping[str, tuple[str, ...]] = {
    "md": ("md", "explore"),
    "dft": ("label",),
    "gpu": ("update",),
}
"""Kinds of work that are done in a pool."""


@dataclass(frozen=True, eq=False)
class Spans:
    """(n,) stretches of wall time: start and end in s since the epoch, kind, tasks in its pool."""

    start: FloatArray
    end: FloatArray
    kind: IntArray
    tasks: IntArray

    def of(self, *kinds: str) -> Spans:
        """Those of some kinds."""
        kept = np.isin(self.kind, [KINDS.index(kind) for kind in kinds])
        return Spans(self.start[kept], self.end[kept], self.kind[kept], self.tasks[kept])

    def seconds(self, *kinds: str) -> float:
        """Lengths of the spans of some kinds together, s."""
        chosen = self.of(*kinds)
        return float(np.sum(chosen.end - chosen.start))


@dataclass(frozen=True)
class Occupancy:
    """How full a pool was. seconds: wall time, s, in which it had k tasks, by k; total: of all."""

    seconds: Mapping[int, float]
    total: float

    @property
    def mean(self) -> float:
        """Tasks in the pool, on average over the wall time."""
        busy = sum(many * spent for many, spent in self.seconds.items())
        return busy / self.total if self.total else 0.0

    def share(self, least: int) -> float:
        """Share of the wall time with at least so many tasks."""
        spent = sum(spent for many, spent in self.seconds.items() if many >= least)
        return spent / self.total if self.total else 0.0


def spans_of(timing: Timing, *, update_tasks: int) -> Spans:
    """The spans of one run. update_tasks: tasks that an update is dealt to."""
    known = np.array([kind in KINDS for kind in timing.kind], dtype=bool)
    kind = np.array([KINDS.index(kind) for kind in timing.kind if kind in KINDS], dtype=np.int64)
    start = timing.start_s[known]
    tasks = np.where(kind == KINDS.index("update"), update_tasks, 1)
    return Spans(start, start + timing.seconds[known], kind, tasks)


def joined(many: Sequence[Spans]) -> Spans:
    """The spans of several runs together."""
    if not many:
        return Spans(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), np.zeros(0, np.int64))
    names = ("start", "end", "kind", "tasks")
    return Spans(*(np.concatenate([getattr(each, name) for each in many]) for name in names))


class Clock:
    """Wall time without the hours in which no run was driven. Made from the spans of all runs."""

    def __init__(self, spans: Spans) -> None:
        order = np.argsort(spans.start, kind="stable")
        start, end = spans.start[order], np.maximum.accumulate(spans.end[order])
        first = np.append(True, start[1:] > end[:-1] + 1e-6) if len(start) else np.zeros(0, bool)
        last = np.append(first[1:], True) if len(start) else first
        self.begins, self.ends = start[first], end[last]
        lengths = self.ends - self.begins
        self._wall = np.stack([self.begins, self.ends], axis=1).ravel()
        after = np.cumsum(lengths)
        self._driven = np.stack([after - lengths, after], axis=1).ravel()
        self.total = float(after[-1]) if len(after) else 0.0

    def driven(self, wall: FloatArray) -> FloatArray:
        """Driven seconds at moments of wall time."""
        if not len(self._wall):
            return np.zeros_like(wall)
        return np.asarray(np.interp(wall, self._wall, self._driven))

    @property
    def pauses(self) -> FloatArray:
        """Driven seconds at which nothing was driven for a while."""
        return self.driven(self.ends[:-1])


def levels(spans: Spans, clock: Clock) -> tuple[FloatArray, IntArray]:
    """How many tasks the spans make over driven time: (m,) moments in s, (m,) tasks from each on.

    The first moment is 0, before which there was nothing.
    """
    times = clock.driven(np.concatenate([spans.start, spans.end]))
    changes = np.concatenate([spans.tasks, -spans.tasks])
    order = np.argsort(times, kind="stable")
    moments, place = np.unique(np.append(0.0, times[order]), return_index=True)
    sums = np.append(0, np.cumsum(changes[order]))
    return moments, sums[np.append(place[1:], len(sums)) - 1].astype(np.int64)


def occupancy(spans: Spans, clock: Clock) -> Occupancy:
    """Seconds with k tasks, from spans of one pool."""
    moments, tasks = levels(spans, clock)
    lengths = np.diff(np.append(moments, max(clock.total, moments[-1])))
    found = {int(k): float(lengths[tasks == k].sum()) for k in np.unique(tasks)}
    return Occupancy({k: spent for k, spent in found.items() if spent > 0.0}, clock.total)


def mean_levels(spans: Spans, clock: Clock, edges: FloatArray) -> FloatArray:
    """(n - 1,) tasks on average between n rising edges, in driven s."""
    moments, tasks = levels(spans, clock)
    sums = np.append(0.0, np.cumsum(np.diff(moments) * tasks[:-1]))
    inside = np.searchsorted(moments, edges, side="right") - 1
    whole = sums[inside] + (edges - moments[inside]) * tasks[inside]
    return np.asarray(np.diff(whole) / np.diff(edges))

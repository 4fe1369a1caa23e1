"""Pools that take no time: tasks end on a clock of their own, in the order their lengths say.

The driver, its shares and the loops are the real ones; only what a task computes and how long it
takes is given. So a campaign can be planned, and its scheduling tested, before it is run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from heapq import heappop, heappush
from itertools import count
from types import TracebackType
from typing import Any, NamedTuple, Self

from bnnflow.records import PoolSize
from executors.base import Pool

Task = Callable[[Any], Any]


class _Running(NamedTuple):
    """A task on a worker, since so many seconds after the start."""

    pool: Pool
    request: Any
    future: Future[Any]
    began: float


class SimulatedPools:
    """An executor and the inbox that goes with it.

    workers: tasks that each pool runs at once; seconds: how long a request takes there alone;
    answer: what it gives, asked when the task ends; cores: of the one machine that all pools share
    (None: each worker has its own), whose tasks slow each other down evenly when there are more.
    """

    def __init__(
        self,
        workers: Mapping[Pool, int],
        *,
        seconds: Callable[[Pool, Any], float],
        answer: Callable[[Any], Any],
        chains_per_task: int = 8,
        cores: int | None = None,
    ) -> None:
        self.site = "simulated"
        self._workers = workers
        self._seconds = seconds
        self._answer = answer
        self._chains = chains_per_task
        self._cores = cores
        self._time = 0.0
        self._work = 0.0  # seconds that a task which ran all along would have been through
        self._order = count()
        self._running: list[tuple[float, int, _Running]] = []
        self._waiting: dict[Pool, deque[tuple[Any, Future[Any]]]] = {pool: deque() for pool in Pool}
        self._free = dict(workers)
        self._ended: deque[Any] = deque()
        self.busy = dict.fromkeys(Pool, 0.0)
        """Seconds that workers of each pool have spent on tasks that have ended."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def submit(self, pool: Pool, task: Task, request: Any) -> Future[Any]:  # noqa: ARG002
        """Have a request answered when its time has passed on some free worker."""
        future: Future[Any] = Future()
        self._waiting[pool].append((request, future))
        self._start(pool)
        return future

    def chains_per_task(self, n_chains: int) -> int:
        """As many as were given."""
        return min(n_chains, self._chains)

    def capacity(self, pool: Pool) -> int:
        """Workers of the pool."""
        return self._workers[pool]

    def sizes(self) -> Mapping[Pool, PoolSize]:
        """The workers that were given, of one core each."""
        return {pool: PoolSize(many, 1) for pool, many in self._workers.items()}

    def notices(self) -> tuple[tuple[Pool, str], ...]:
        """Nothing."""
        return ()

    def follow(self, future: Future[Any], item: Any) -> None:
        """Hear of `item` when the future ends."""
        future.add_done_callback(lambda _: self._ended.append(item))

    def take(self, timeout_s: float) -> Any | None:  # noqa: ARG002 - time passes by itself
        """The next item whose future has ended, at the time at which it does."""
        while not self._ended and self._running:
            self._end_next()
        return self._ended.popleft() if self._ended else None

    def now(self) -> float:
        """Seconds since the start."""
        return self._time

    def _start(self, pool: Pool) -> None:
        while self._free[pool] and self._waiting[pool]:
            request, future = self._waiting[pool].popleft()
            self._free[pool] -= 1
            end = self._work + self._seconds(pool, request)
            task = _Running(pool, request, future, began=self._time)
            heappush(self._running, (end, next(self._order), task))

    def _end_next(self) -> None:
        pace = self._pace()
        end, _, task = heappop(self._running)
        self._time += (end - self._work) / pace
        self._work = end
        self._free[task.pool] += 1
        self.busy[task.pool] += self._time - task.began
        task.future.set_result(self._answer(task.request))
        self._start(task.pool)

    def _pace(self) -> float:
        """Seconds of work per second, of each task."""
        return 1.0 if self._cores is None else min(1.0, self._cores / len(self._running))

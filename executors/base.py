"""What every executor offers: three pools that run a task on a request and hand back a future."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self, TypeVar

from bnnflow.records import PoolSize

Request = TypeVar("Request")
Result = TypeVar("Result")


class Pool(StrEnum):
    """The three kinds of work: sampling chains, reference labels, molecular dynamics."""

    GPU = "gpu"
    DFT = "dft"
    MD = "md"


class Executor(Protocol):
    """Runs tasks in pools between entering and leaving its context.

    Leaving does not wait: tasks that still run are ended, and their futures fail.
    """

    @property
    def site(self) -> str:
        """Name of the site where the pools are."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def submit(
        self, pool: Pool, task: Callable[[Request], Result], request: Request
    ) -> Future[Result]:
        """Run `task(request)` in a pool.

        task: a function of an importable module (workers import it by its name); request: one
        record that can be pickled. The future holds the result, the task's own exception, or
        FaultError when the worker or the executor ended before the task did: BlockLostError when
        that was no fault of the task, PoolLostError when the pool cannot go on.
        """
        ...

    def chains_per_task(self, n_chains: int) -> int:
        """How many of `n_chains` posterior chains one task of the gpu pool should hold."""
        ...

    def capacity(self, pool: Pool) -> int | None:
        """How many tasks a pool runs at once when all its workers are there; None: no limit."""
        ...

    def sizes(self) -> Mapping[Pool, PoolSize]:
        """Workers of each pool, and what one task has there: what costs are counted by."""
        ...

    def notices(self) -> Sequence[tuple[Pool, str]]:
        """What there is to tell about the pools since the last call: jobs that wait or are held."""
        ...

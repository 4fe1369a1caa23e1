"""The pools without Parsl: each task runs in this process when it is submitted."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from bnnflow.records import PoolSize
from executors.base import Pool, Request, Result
from executors.machine import usable_cores


class InlineExecutor:
    """Runs every task at once, here; for tests, notebooks and debugging.

    chains: most chains that one task holds (None: all of them, one batch).
    """

    site = "inline"

    def __init__(self, *, chains: int | None = None) -> None:
        self._chains = chains

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def submit(
        self,
        pool: Pool,  # noqa: ARG002 - every pool is this process
        task: Callable[[Request], Result],
        request: Request,
    ) -> Future[Result]:
        """Run `task(request)` now; the future is done. Ctrl-C is raised, not stored."""
        future: Future[Result] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(task(request))
        except Exception as error:
            future.set_exception(error)
        return future

    def chains_per_task(self, n_chains: int) -> int:
        """All chains, or as many as the executor was given."""
        return min(n_chains, self._chains or n_chains)

    def capacity(self, pool: Pool) -> int | None:  # noqa: ARG002 - every pool is this process
        """No limit: a task has ended when it is submitted."""
        return None

    def sizes(self) -> Mapping[Pool, PoolSize]:
        """One task at a time, with the threads that the numerics may use."""
        threads = os.environ.get("OMP_NUM_THREADS", "")
        cores = int(threads) if threads.isdigit() else usable_cores()
        return dict.fromkeys(Pool, PoolSize(workers=1, cores=max(1, cores)))

    def notices(self) -> tuple[tuple[Pool, str], ...]:
        """Nothing: there is no queue here."""
        return ()

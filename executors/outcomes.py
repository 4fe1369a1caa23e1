"""The futures that callers hold: they end whatever happens, and know nothing of Parsl."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import partial
from typing import Any

import zmq
from parsl.errors import ParslError
from parsl.executors.errors import BadStateException
from parsl.executors.high_throughput.errors import ManagerLost, WorkerLost

from bnnflow.errors import BlockLostError, BnnflowError, FaultError, PoolLostError
from executors.base import Pool


class Outcomes:
    """The tasks under way: each has a future of its own, beside Parsl's."""

    def __init__(self) -> None:
        self._open: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self._answered: Counter[Pool] = Counter()

    def follow(self, inner: Future[Any], pool: Pool) -> Future[Any]:
        """A future that ends as Parsl's does, with Parsl's own errors made FaultError."""
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()
        with self._lock:
            self._open.add(outer)
        inner.add_done_callback(partial(self._finish, outer, pool))
        return outer

    def answered(self, pool: Pool) -> int:
        """How many tasks of a pool have come back with a result."""
        return self._answered[pool]

    def fail_all(self, error: FaultError) -> None:
        """End every future that is still open."""
        with self._lock:
            left, self._open = self._open, set()
        for outer in left:
            with suppress(InvalidStateError):  # it ended just now
                outer.set_exception(error)

    def _finish(self, outer: Future[Any], pool: Pool, inner: Future[Any]) -> None:
        with self._lock:
            self._open.discard(outer)
            error = inner.exception()
            self._answered[pool] += error is None
        with suppress(InvalidStateError):  # the pools were closed just now
            if error is None:
                outer.set_result(inner.result())
            else:
                outer.set_exception(_translated(error, pool))


def _translated(error: BaseException, pool: Pool) -> BaseException:
    """A task's own error as it is; an error of the pool as FaultError in one line."""
    if isinstance(error, WorkerLost):
        return FaultError(
            f"a worker of pool {pool} on {error.hostname} died during its task (out of memory?): "
            "the task can be run again"
        )
    if isinstance(error, ManagerLost):
        return BlockLostError(
            f"pool {pool} lost its workers on {error.hostname} (walltime, a lost node, a cancelled "
            "job?): the task can be run again"
        )
    if isinstance(error, zmq.Again):  # nobody took the task in `kernel.SEND_S`
        return PoolLostError(f"pool {pool} lost its interchange process: resume the run")
    if isinstance(error, BadStateException):
        return PoolLostError(f"{_words(error)}: resume the run when that is put right")
    if isinstance(error, ParslError) and not isinstance(error, BnnflowError):
        return FaultError(f"pool {pool} could not run the task: {_words(error)}")
    return error


def _words(error: BaseException) -> str:
    """In one line; of an executor's error its reason alone."""
    return " ".join(str(getattr(error, "reason", error)).split())

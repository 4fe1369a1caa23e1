"""A task under way in a pool, and how often it is submitted again.

A worker that dies during a task may have died of it, so a task gets few tries. Workers that end
with their whole block (walltime, a lost node, a cancelled job) say nothing about the task: that is
counted by itself, and far more patiently; at the end the run stops at its last commit rather than
book a failure of the science.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

from bnnflow.errors import BlockLostError, FaultError, PoolLostError
from executors.base import Pool

LOST_TASK_TRIES = 3
"""How often one task is submitted before a lost worker counts as the task's own failure."""
LOST_BLOCK_TRIES = 10
"""How often one task may lose all its workers before the run stops."""


class Desk(Protocol):
    """Where tasks are handed in: an executor, or one owner's share of it."""

    def submit(self, pool: Pool, task: Callable[[Any], Any], request: Any) -> Future[Any]:
        """Have `task(request)` run in a pool."""
        ...


class Submission:
    """One task in a pool: its future, and its tries."""

    def __init__(self, desk: Desk, pool: Pool, task: Callable[[Any], Any], request: Any) -> None:
        self.request = request
        self.tries = 1
        self.losses = 0
        self._send: Callable[[], Future[Any]] = partial(desk.submit, pool, task, request)
        self._name = task.__name__
        self.future = self._send()

    def again(self, error: BaseException) -> bool:
        """Submit the task again after an error that allows it; returns whether it did.

        Raises PoolLostError when its workers were lost too often.
        """
        if isinstance(error, BlockLostError):
            self.losses += 1
            if self.losses >= LOST_BLOCK_TRIES:
                raise PoolLostError(self._hopeless(error)) from error
        elif isinstance(error, FaultError) and not isinstance(error, PoolLostError):
            if self.tries >= LOST_TASK_TRIES:
                return False
            self.tries += 1
        else:
            return False
        self.future = self._send()
        return True

    def result(self) -> Any:
        """Wait for the task's result, or its own error."""
        while True:
            try:
                return self.future.result()
            except FaultError as error:
                if not self.again(error):
                    raise

    def _hopeless(self, error: BaseException) -> str:
        return (
            f"task {self._name} lost its workers {self.losses} times without an answer ({error}): "
            "give its pool a walltime and longest_task that the task fits in, then resume the run"
        )

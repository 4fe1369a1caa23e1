"""What all schedulers' blocks have in common, over Parsl's providers.

Parsl's own providers differ in what they make of a held, suspended or vanished job: some then ask
for another block, for ever, or forget one that is still there. Here each scheduler only says how
its queue is read; what follows is in one place.
"""

from __future__ import annotations

import logging
import re
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from parsl.jobs.states import JobState, JobStatus
from parsl.providers.cluster_provider import ClusterProvider
from parsl.providers.errors import SubmitException

from bnnflow.errors import FaultError
from executors.blocks.queue import Job, Queue

APPEARS_S = 30.0
"""Time that a new job may take to appear in the queue before it counts as ended."""

RETRIES_S = (2.0, 5.0, 10.0)
"""Waits before a job is submitted again when the scheduler did not answer."""

_BUSY = re.compile(
    r"timed out|unable to contact|communications? (failure|error)|connection refused"
    r"|cannot connect|temporarily unavailable|try again",
    re.IGNORECASE,
)

_log = logging.getLogger("parsl.bnnflow")


class SchedulerBlocks(ClusterProvider):
    """Mixed into one of Parsl's providers, before it."""

    cancel_command: str
    """Ends the job whose id follows it."""

    def settle(self, *, poll_s: int, on_submit: Callable[[str], None]) -> None:
        """poll_s: how often the queue is read; on_submit: told the command that ends a new job."""
        self._poll_s = poll_s
        self._on_submit = on_submit
        self._submitted: dict[str, float] = {}
        self._queue: Queue = {}
        self._closed = False

    @abstractmethod
    def read_queue(self) -> Queue | None:
        """Our jobs as the scheduler knows them, ended ones included; None when it fails."""

    @property
    def status_polling_interval(self) -> int:
        """Seconds between two looks at the queue."""
        return self._poll_s

    def submit(self, command: str, tasks_per_node: int, job_name: str = "bnnflow") -> Any:
        """Submit one block, again where the scheduler is only busy. Raises FaultError."""
        name = job_name.replace("parsl.", "bnnflow.", 1)
        for wait_s in (*RETRIES_S, None):
            if self._closed:
                raise FaultError(f"{name} was not submitted: the pools are closed")
            try:
                job_id = super().submit(command, tasks_per_node, name)
            except SubmitException as error:
                said = _said(error)
                if wait_s is None or not _BUSY.search(said):
                    raise FaultError(f"{name} was not accepted: {said}") from error
                _log.warning("%s; trying again in %s s", said, wait_s)
                time.sleep(wait_s)
            else:
                break
        if job_id is not None:
            self._submitted[job_id] = time.time()
            self._on_submit(f"{self.cancel_command} {job_id}")
            if self._closed:  # just now
                self.cancel([job_id])
        return job_id

    def cancel_rest(self) -> None:
        """End every job that is not known to have ended, queued ones included; submit no more."""
        self._closed = True
        left = [name for name, job in self.resources.items() if not job["status"].terminal]
        if left:
            self.cancel(left)

    def waiting(self) -> list[tuple[float, Job]]:
        """Jobs that do not run yet: seconds since they were submitted, and what the queue says."""
        now = time.time()
        return [
            (now - self._submitted[name], job)
            for name, job in self._queue.items()
            if job.state == JobState.PENDING and name in self._submitted
        ]

    def _status(self) -> None:
        active = {name for name, job in self.resources.items() if not job["status"].terminal}
        found = self.read_queue() if active else {}
        if found is None:
            return
        self._queue = {name: job for name, job in found.items() if name in active}
        for name in active:
            job = self._queue.get(name)
            if job is not None:
                self._note(name, job.state)
            elif time.time() - self._submitted.get(name, 0.0) > APPEARS_S:
                self._note(name, JobState.COMPLETED)

    def _note(self, name: str, state: JobState) -> None:
        job = self.resources[name]
        paths = {key: job.get(f"job_{key}") for key in ("stdout_path", "stderr_path")}
        job["status"] = JobStatus(state, **paths)

    def lines(self, command: str) -> Sequence[str] | None:
        """What a command of the scheduler prints; None when it fails."""
        code, output, errors = self.execute_wait(command)
        if code != 0:
            _log.warning("%s ended with %s: %s", command, code, errors.strip())
            return None
        return [line for line in output.splitlines() if line.strip()]


def _said(error: SubmitException) -> str:
    """The scheduler's own words, in one line."""
    words = f"{error.stderr or ''} {error.stdout or ''}".split()
    return " ".join(words) or f"no answer (exit code {error.retcode})"

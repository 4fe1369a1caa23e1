"""Blocks of workers on this machine, ended whole and without the `ps` that Parsl would need."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from parsl.providers import LocalProvider

PATIENCE_S = 3.0


class LocalBlocks(LocalProvider):
    """Parsl's local provider; a block is one process group, and cancelling waits for its end."""

    def submit(self, command: str, tasks_per_node: int, job_name: str = "bnnflow") -> Any:
        """Start one block in a process group of its own; returns its job id."""
        job_id = super().submit(command, tasks_per_node, job_name)
        with suppress(ProcessLookupError):
            self.resources[job_id]["group"] = os.getpgid(int(job_id))
        return job_id

    def cancel(self, job_ids: Iterable[Any]) -> list[bool]:
        """End these blocks: SIGTERM, then SIGKILL for what is left after PATIENCE_S."""
        jobs = [self.resources[job_id] for job_id in job_ids]
        for job in jobs:
            job["cancelled"] = True
        end_groups([job["group"] for job in jobs if "group" in job])
        return [True for _ in jobs]

    def cancel_rest(self) -> None:
        """End every block that is not known to have ended."""
        running = [
            name
            for name, job in self.resources.items()
            if "cancelled" not in job and not job["status"].terminal
        ]
        self.cancel(running)


def end_groups(groups: Iterable[int]) -> None:
    """End process groups and wait until they are gone."""
    left = [group for group in groups if _signalled(group, signal.SIGTERM)]
    deadline = time.monotonic() + PATIENCE_S
    while left and time.monotonic() < deadline:
        time.sleep(0.02)
        left = [group for group in left if _signalled(group, 0)]
    for group in left:
        _signalled(group, signal.SIGKILL)


def _signalled(group: int, number: int) -> bool:
    """Whether the group still existed to be signalled."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True

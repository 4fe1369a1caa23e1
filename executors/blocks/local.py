"""Blocks of workers on this machine, ended whole and without the `ps` that Parsl would need."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
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
        end_groups({job["group"] for job in jobs if "group" in job})
        return [True for _ in jobs]

    def cancel_rest(self) -> None:
        """End every block that is not known to have ended."""
        running = [
            name
            for name, job in self.resources.items()
            if "cancelled" not in job and not job["status"].terminal
        ]
        self.cancel(running)


def end_groups(groups: set[int]) -> None:
    """End process groups and wait until nothing of them runs."""
    _signal(groups, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while (left := groups & running_groups()) and time.monotonic() < deadline:
        time.sleep(0.02)
    _signal(left, signal.SIGKILL)


def running_groups() -> set[int]:
    """Process groups with a running member. What has ended but is not yet collected by its
    parent, which is up to the machine's init, does not count.
    """
    members = [_state_and_group(path) for path in Path("/proc").glob("[0-9]*/stat")]
    return {int(group) for state, group in members if state not in "ZX"}


def _state_and_group(path: Path) -> tuple[str, str]:
    try:
        text = path.read_text(errors="replace")
    except OSError:  # it ended just now
        return "X", "0"
    state, _, group = text.rpartition(")")[2].split()[:3]
    return state, group


def _signal(groups: Iterable[int], number: int) -> None:
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)

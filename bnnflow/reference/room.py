"""Whether a machine has room for a label: disk and memory, before and after."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from bnnflow.records import Failure, FailureCause, Handling
from bnnflow.reference.checks import failed

_GB = 1e9
_MEMORY = Path("/proc/meminfo")
_SIGNS = {
    FailureCause.NO_DISK_SPACE: re.compile(
        r"no space left on device|disk quota exceeded|ENOSPC", re.IGNORECASE
    ),
    FailureCause.OUT_OF_MEMORY: re.compile(
        r"out of memory|oom[- ]kill|cannot allocate memory|could not allocate|bad_alloc"
        r"|\bMemoryError\b|insufficient virtual memory",
        re.IGNORECASE,
    ),
}


def lacking(handling: Handling, directory: Path) -> Failure | None:
    """What is missing for a label in this directory, None when there is room."""
    disk = shutil.disk_usage(directory).free / _GB
    if disk < handling.free_disk_GB:
        message = (
            f"{disk:.2f} GB are free on the disk of {directory}, expected {handling.free_disk_GB:g}"
            ": make room, or lower reference.free_disk_GB"
        )
        return failed(FailureCause.NO_DISK_SPACE, message)
    memory = available_memory_GB()
    if memory < handling.free_memory_GB:
        message = (
            f"{memory:.2f} GB of memory are available, expected {handling.free_memory_GB:g}: run "
            "fewer labels per node, or lower reference.free_memory_GB"
        )
        return failed(FailureCause.OUT_OF_MEMORY, message)
    return None


def available_memory_GB() -> float:  # noqa: N802 - a unit
    """Memory that a new process can have on this node, GB; inf where Linux does not say."""
    try:
        lines = _MEMORY.read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    kilobytes = next((line.split()[1] for line in lines if line.startswith("MemAvailable:")), None)
    return float("inf") if kilobytes is None else int(kilobytes) * 1024 / _GB


def ran_out_of(log: str) -> FailureCause | None:
    """Disk or memory, if the log of a crashed calculation says that it was that."""
    return next((cause for cause, sign in _SIGNS.items() if sign.search(log)), None)

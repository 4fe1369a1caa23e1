"""Blocks that are jobs of Slurm."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from parsl.jobs.states import JobState
from parsl.providers import SlurmProvider

from executors.blocks.queue import Job, Queue, lost
from executors.blocks.scheduler import SchedulerBlocks

QUEUE_COMMAND = "squeue --me --states=all --noheader --format='%i|%T|%r'"

_STATES: Mapping[str, JobState] = {
    "PENDING": JobState.PENDING,
    "CONFIGURING": JobState.PENDING,
    "REQUEUED": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "REQUEUE_HOLD": JobState.PENDING,
    "RESV_DEL_HOLD": JobState.PENDING,
    "RUNNING": JobState.RUNNING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STAGE_OUT": JobState.RUNNING,
    "STOPPED": JobState.RUNNING,
    "SUSPENDED": JobState.RUNNING,
    "COMPLETING": JobState.COMPLETED,  # its workers have ended; the node's clean-up may take long
    "COMPLETED": JobState.COMPLETED,
    "CANCELLED": JobState.CANCELLED,
    "REVOKED": JobState.CANCELLED,
    "FAILED": JobState.FAILED,
    "OUT_OF_MEMORY": JobState.FAILED,
    "SPECIAL_EXIT": JobState.FAILED,
}
_KEPT = ("SLURM_CONF", "SLURM_CLUSTERS")
"""Variables that say where Slurm is, not what a job has."""
_STUCK = (
    "JobHeldUser",
    "JobHeldAdmin",
    "BadConstraints",
    "DependencyNeverSatisfied",
    "InvalidAccount",
    "InvalidQOS",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "PartitionInactive",
    "PartitionDown",
)
"""Reasons that do not pass by themselves."""
_LOST = ("TIMEOUT", "DEADLINE", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL")


class SlurmBlocks(SchedulerBlocks, SlurmProvider):
    """Parsl's Slurm provider, reading the queue without accounting and without job ids.

    Parsl's own asks by id, and gets an error instead of an answer once Slurm has forgotten one.
    """

    cancel_command = "scancel"

    def execute_wait(self, cmd: str, timeout: float | None = None) -> tuple[int, str, str]:
        """Run a command of Slurm, with two exceptions to what Parsl would do.

        Its look whether there is accounting is spared: none is needed. And where this process is
        itself in a job, what Slurm told that job about its own size must not reach another one.
        """
        if cmd == "sacct -X":
            return 1, "", ""
        if cmd.startswith("sbatch "):
            own = [name for name in os.environ if name.startswith("SLURM_") and name not in _KEPT]
            cmd = " ".join(["env", *(f"-u {name}" for name in own), cmd])
        result: tuple[int, str, str] = super().execute_wait(cmd, timeout)
        return result

    def read_queue(self) -> Queue | None:
        """All of this user's jobs that Slurm remembers."""
        clusters = f" --clusters={self.clusters}" if self.clusters else ""
        lines = self.lines(QUEUE_COMMAND + clusters)
        return None if lines is None else parse_queue(lines)


def parse_queue(lines: Iterable[str]) -> Queue:
    """Jobs from lines of `QUEUE_COMMAND`; other lines (a cluster's heading) are passed over."""
    rows = (line.strip().split("|") for line in lines)
    return {row[0]: _job(row[1], row[2]) for row in rows if len(row) == 3}


def _job(word: str, reason: str) -> Job:
    if word in _LOST:
        return lost(word)
    state = _STATES.get(word, JobState.RUNNING)
    if state != JobState.PENDING or reason == "None":
        return Job(state, word)
    return Job(state, word, reason, stuck=reason in _STUCK)

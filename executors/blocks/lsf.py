"""Blocks that are jobs of LSF."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from parsl.jobs.states import JobState
from parsl.providers import LSFProvider

from executors.blocks.queue import Job, Queue
from executors.blocks.scheduler import SchedulerBlocks

QUEUE_COMMAND = """bjobs -a -noheader -o "jobid stat pend_reason delimiter='|'" """.strip()

_STATES: Mapping[str, JobState] = {
    "PEND": JobState.PENDING,
    "PROV": JobState.PENDING,
    "WAIT": JobState.PENDING,
    "PSUSP": JobState.PENDING,  # held
    "RUN": JobState.RUNNING,
    "USUSP": JobState.RUNNING,  # suspended, but still ours
    "SSUSP": JobState.RUNNING,
    "UNKWN": JobState.RUNNING,
    "DONE": JobState.COMPLETED,
    "EXIT": JobState.FAILED,
    "ZOMBI": JobState.FAILED,
}


class LsfBlocks(SchedulerBlocks, LSFProvider):
    """Parsl's LSF provider; a suspended job counts as there, not as cancelled."""

    cancel_command = "bkill"

    def read_queue(self) -> Queue | None:
        """All of this user's jobs that LSF remembers."""
        lines = self.lines(QUEUE_COMMAND)
        return None if lines is None else parse_queue(lines)


def parse_queue(lines: Iterable[str]) -> Queue:
    """Jobs from lines of `QUEUE_COMMAND`."""
    rows = (line.strip().split("|") for line in lines)
    return {row[0]: _job(row[1], row[2]) for row in rows if len(row) == 3}


def _job(word: str, reason: str) -> Job:
    state = _STATES.get(word, JobState.RUNNING)
    if word == "PSUSP":
        return Job(state, word, "held; bresume lets it go", stuck=True)
    return Job(state, word, reason if state == JobState.PENDING and reason != "-" else "")

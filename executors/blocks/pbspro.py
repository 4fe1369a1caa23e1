"""Blocks that are jobs of PBS Pro or OpenPBS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from parsl.jobs.states import JobState
from parsl.providers import PBSProProvider

from executors.blocks.queue import Job, Queue
from executors.blocks.scheduler import SchedulerBlocks

_STATES: Mapping[str, JobState] = {
    "Q": JobState.PENDING,
    "W": JobState.PENDING,
    "T": JobState.PENDING,
    "H": JobState.PENDING,
    "M": JobState.COMPLETED,  # moved to another server
    "R": JobState.RUNNING,
    "B": JobState.RUNNING,
    "S": JobState.RUNNING,  # suspended, but still ours
    "U": JobState.RUNNING,
    "E": JobState.COMPLETED,
    "F": JobState.COMPLETED,
    "X": JobState.COMPLETED,
}


class PbsProBlocks(SchedulerBlocks, PBSProProvider):
    """Parsl's PBS Pro provider; a held job counts as waiting, not as gone."""

    cancel_command = "qdel"

    def read_queue(self) -> Queue | None:
        """The jobs submitted here, ended ones too where the server keeps a history."""
        active = [name for name, job in self.resources.items() if not job["status"].terminal]
        code, output, errors = self.execute_wait(f"qstat -x -f -F json {' '.join(active)}")
        if code != 0 and "Unknown Job Id" not in errors:
            return None
        return parse_queue(output, active)


def parse_queue(text: str, names: list[str]) -> Queue:
    """Jobs from qstat's JSON, under the ids that qsub gave (qstat may shorten the server's name).

    Raises nothing: what cannot be read is not there.
    """
    try:
        jobs: Mapping[str, Any] = json.loads(text).get("Jobs", {})
    except ValueError:
        return {}
    return {
        name: _job(job)
        for key, job in jobs.items()
        for name in names
        if name.partition(".")[0] == key.partition(".")[0]
    }


def _job(job: Mapping[str, Any]) -> Job:
    word = str(job.get("job_state", "Q"))
    state = _STATES.get(word, JobState.RUNNING)
    if word == "H":
        return Job(state, word, "held; qrls lets it go", stuck=True)
    return Job(state, word, str(job.get("comment", "")) if state == JobState.PENDING else "")

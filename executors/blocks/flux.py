"""Blocks that are jobs of Flux: a provider in the manner of Parsl's, which has none for Flux."""

from __future__ import annotations

import math
import os
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parsl.jobs.states import JobState, JobStatus
from parsl.launchers.base import Launcher
from parsl.providers.cluster_provider import ClusterProvider
from parsl.providers.errors import SubmitException

from executors.blocks.queue import Job, Queue, lost
from executors.blocks.scheduler import SchedulerBlocks
from executors.schema.values import seconds

QUEUE_COMMAND = "flux jobs -a --no-header --format='{id.dec}|{status}'"

TEMPLATE = """#!/bin/bash
# flux: --job-name=${jobname}
# flux: --output=${job_stdout_path}
# flux: --error=${job_stderr_path}
# flux: --time-limit=${minutes}m
${options}

${worker_init}

export JOBNAME="${jobname}"

${user_script}
"""

_STATES: Mapping[str, JobState] = {
    "DEPEND": JobState.PENDING,
    "PRIORITY": JobState.PENDING,
    "SCHED": JobState.PENDING,
    "RUN": JobState.RUNNING,
    "CLEANUP": JobState.COMPLETED,
    "COMPLETED": JobState.COMPLETED,
    "CANCELED": JobState.CANCELLED,
    "FAILED": JobState.FAILED,
}


class FluxProvider(ClusterProvider):
    """Submits with `flux batch`, cancels with `flux cancel`.

    options: of flux batch, one per directive; common: what Parsl's ClusterProvider takes.
    """

    def __init__(self, *, options: Iterable[str], worker_init: str, **common: Any) -> None:
        super().__init__(label="flux", parallelism=1, **common)
        self._head = "\n".join(f"# flux: {option}" for option in options)
        self._worker_init = worker_init

    def submit(self, command: str, tasks_per_node: int, job_name: str = "bnnflow") -> Any:
        """Submit one block; returns its decimal job id. Raises Parsl's SubmitException."""
        name = f"{job_name}.{time.time()}"
        script = os.path.abspath(os.path.join(str(self.script_dir), name))  # noqa: PTH100, PTH118
        paths = {"job_stdout_path": f"{script}.stdout", "job_stderr_path": f"{script}.stderr"}
        start = self.launcher(command, tasks_per_node, self.nodes_per_block, self.script_dir)
        values = {
            **paths,
            "minutes": math.ceil(seconds(self.walltime) / 60),
            "options": self._head,
            "worker_init": self._worker_init,
            "user_script": start,
        }
        self._write_submit_script(TEMPLATE, script, name, values)
        submit = f'id=$(flux batch {shlex.quote(script)}) && flux job id --to=dec "$id"'
        code, output, errors = self.execute_wait(submit)
        if code != 0 or not output.split():
            raise SubmitException(name, "flux batch failed", output, errors, code)
        job_id = output.split()[-1]
        status = JobStatus(JobState.PENDING)
        self.resources[job_id] = {"job_id": job_id, "status": status, **paths}
        return job_id

    def cancel(self, job_ids: Sequence[Any]) -> list[bool]:
        """End these jobs."""
        code, _, _ = self.execute_wait(f"flux cancel {' '.join(job_ids)}")
        if code == 0:
            for name in job_ids:
                self.resources[name]["status"] = JobStatus(JobState.CANCELLED)
        return [code == 0 for _ in job_ids]


class FluxBlocks(SchedulerBlocks, FluxProvider):
    """Blocks are batch jobs; the workers in them stay, unlike those of Parsl's FluxExecutor."""

    cancel_command = "flux cancel"

    def read_queue(self) -> Queue | None:
        """All of this user's jobs, ended ones included."""
        lines = self.lines(QUEUE_COMMAND)
        return None if lines is None else parse_queue(lines)


class FluxLauncher(Launcher):
    """Starts the workers on every node of a block, leaving its cores and GPUs to their labels."""

    def __init__(self, options: str = "") -> None:
        super().__init__(debug=False)
        self._options = options

    def __call__(
        self,
        command: str,
        tasks_per_node: int,
        nodes_per_block: int,
        script_dir: str = "",  # noqa: ARG002 - part of Parsl's interface
    ) -> str:
        """The shell line that starts `command` once on each node."""
        free = "-o cpu-affinity=off -o gpu-affinity=off"
        size = f"--nodes={nodes_per_block} --ntasks={nodes_per_block * tasks_per_node}"
        return f"flux run {size} {free} {self._options} bash -c {shlex.quote(command)}"


def parse_queue(lines: Iterable[str]) -> Queue:
    """Jobs from lines of `QUEUE_COMMAND`."""
    rows = (line.strip().split("|") for line in lines)
    return {row[0]: _job(row[1]) for row in rows if len(row) == 2}


def _job(word: str) -> Job:
    if word == "TIMEOUT":
        return lost(word)
    return Job(_STATES.get(word, JobState.RUNNING), word)

"""What a run has used so far: labels, MD time, time of workers, and of the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bnnflow.data import RunData
from bnnflow.records import (
    Commit,
    Driven,
    Event,
    Failed,
    Labelled,
    LoopState,
    Phase,
    Spent,
    Updated,
)
from executors.base import Pool

POOL_OF_TASK: Mapping[str, Pool] = {
    "propagate": Pool.MD,
    "predict": Pool.MD,
    "label": Pool.DFT,
    "sample": Pool.GPU,
}


@dataclass(eq=False)
class Ledger:
    """Counts what one run uses, from its events and those of earlier sessions.

    nodes: nodes that one task of each pool takes; timestep_fs: of MD; label_steps: MD step of each
    label; node_seconds: of all tasks, by what they say they took (MD of earlier sessions: by the
    clock); wall_s: in which the run was driven.
    """

    nodes: Mapping[Pool, float]
    timestep_fs: float
    label_steps: list[int] = field(default_factory=list)
    node_seconds: float = 0.0
    wall_s: float = 0.0
    step: int = 0
    wants_label: bool = False
    _covered: float = float("-inf")

    def catch_up(self, run: RunData) -> None:
        """Take over what earlier sessions of this run used."""
        self.label_steps = [int(step) for step in run.labels.step]
        timing = run.timing
        for kind, start, seconds in zip(timing.kind, timing.start_s, timing.seconds, strict=True):
            self._pass(float(start), float(seconds))
            if kind == "md":
                self._use(Pool.MD, float(seconds))
        self._use(Pool.DFT, float(sum(run.labels.seconds)))
        self._use(Pool.GPU, float(sum(run.updates.seconds)))
        for task, seconds in zip(run.failures.task, run.failures.seconds, strict=True):
            self._use(POOL_OF_TASK[task], float(seconds))
        self._stand(run.state)

    def observe(self, commit: Commit) -> None:
        """Take in what was just written."""
        for event in commit.events:
            self._count(event)
        self._stand(commit.state)

    @property
    def time_ps(self) -> float:
        """MD time so far, ps."""
        return self.step * self.timestep_fs / 1000.0

    def labels_since(self, time_ps: float) -> int:
        """Labels of frames later than an MD time, ps."""
        return sum(step * self.timestep_fs / 1000.0 > time_ps for step in self.label_steps)

    def _count(self, event: Event) -> None:
        match event:
            case Driven(segment=segment):
                self._use(Pool.MD, segment.seconds)
            case Labelled(step=step, label=label):
                self.label_steps.append(step)
                self._use(Pool.DFT, label.seconds)
            case Updated(results=results):
                self._use(Pool.GPU, sum(result.seconds for result in results))
            case Failed(failure=failure):
                self._use(POOL_OF_TASK[failure.task], failure.seconds)
            case Spent(start_s=start, seconds=seconds):
                self._pass(start, seconds)

    def _use(self, pool: Pool, seconds: float) -> None:
        self.node_seconds += seconds * self.nodes[pool]

    def _pass(self, start: float, seconds: float) -> None:
        """Spans may overlap, and between sessions nothing passes."""
        end = start + seconds
        self.wall_s += max(0.0, end - max(start, self._covered))
        self._covered = max(self._covered, end)

    def _stand(self, state: LoopState) -> None:
        self.step = state.checkpoint.step
        self.wants_label = state.phase is Phase.LABEL

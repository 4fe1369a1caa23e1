"""What a run has used so far: labels, MD time, time of workers, and of the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bnnflow.data import RunData
from bnnflow.records import (
    Commit,
    Driven,
    Event,
    Failed,
    Labelled,
    LoopState,
    Phase,
    Reason,
    Spent,
    Updated,
)
from executors.base import Executor, Pool
from workflows.shares import Share

POOL_OF_TASK: Mapping[str, Pool] = {
    "propagate": Pool.MD,
    "predict": Pool.MD,
    "explore": Pool.MD,
    "select": Pool.MD,
    "label": Pool.DFT,
    "sample": Pool.GPU,
}

UNASKED = frozenset(
    kind for each in (Reason.AUDIT, Reason.GUARD, Reason.INITIAL) for kind in (each, each.value)
)
"""Reasons of labels that say nothing of how uncertain MD is."""


@dataclass(eq=False)
class Clock:
    """Wall time that spans cover, each moment once. They come about in the order of their ends."""

    seconds: float = 0.0
    covered: float = float("-inf")

    def pass_by(self, start: float, seconds: float) -> None:
        """Count what of a span no span before it covers."""
        end = start + seconds
        self.seconds += max(0.0, end - max(start, self.covered))
        self.covered = max(self.covered, end)


@dataclass(eq=False)
class Ledger:
    """Counts what one run uses, from its events and those of earlier sessions.

    nodes: nodes that one task of each pool takes; timestep_fs: of MD; label_steps: MD step of each
    label; asked_steps: of those asked for because of uncertainty; audit_errors: of the energies
    of audits, eV; node_seconds: of all tasks, by what they say they took (MD of earlier sessions:
    by the clock); clocks: told of every span, the run's own first; spans: of earlier sessions.
    """

    nodes: Mapping[Pool, float]
    timestep_fs: float
    label_steps: list[int] = field(default_factory=list)
    asked_steps: list[int] = field(default_factory=list)
    audit_errors: list[float] = field(default_factory=list)
    node_seconds: float = 0.0
    step: int = 0
    wants_label: bool = False
    wants_update: bool = False
    clocks: list[Clock] = field(default_factory=lambda: [Clock()])
    spans: list[tuple[float, float]] = field(default_factory=list)

    @property
    def wall_s(self) -> float:
        """Time in which the run was driven, all sessions together."""
        return self.clocks[0].seconds

    def catch_up(self, run: RunData) -> None:
        """Take over what earlier sessions of this run used."""
        self.label_steps = [int(step) for step in run.labels.step]
        self.asked_steps = [
            int(step)
            for step, reason in zip(run.labels.step, run.labels.reason, strict=True)
            if reason not in UNASKED
        ]
        self.audit_errors = [
            float(error)
            for error, reason in zip(run.labels.error, run.labels.reason, strict=True)
            if reason == Reason.AUDIT.value
        ]
        timing = run.timing
        self.spans = [
            (float(start), float(seconds))
            for start, seconds in zip(timing.start_s, timing.seconds, strict=True)
        ]
        for span in self.spans:
            self.clocks[0].pass_by(*span)
        is_md = np.isin(np.array(timing.kind, dtype=str), ("md", "explore"))
        self._use(Pool.MD, float(np.sum(timing.seconds[is_md])))
        self._use(Pool.DFT, float(sum(run.labels.seconds)))
        self._use(Pool.GPU, float(sum(run.updates.seconds)))
        for task, seconds in zip(run.failures.task, run.failures.seconds, strict=True):
            if POOL_OF_TASK[task] is not Pool.MD:  # its time is in the spans
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
        """Labels asked for because of uncertainty, later than an MD time, ps."""
        return sum(step * self.timestep_fs / 1000.0 > time_ps for step in self.asked_steps)

    def _count(self, event: Event) -> None:
        match event:
            case Driven(segment=segment):
                self._use(Pool.MD, segment.seconds)
            case Labelled(step=step, label=label, reason=reason, error=error):
                self.label_steps.append(step)
                self.asked_steps += [] if reason in UNASKED else [step]
                self.audit_errors += [error] if reason == Reason.AUDIT else []
                self._use(Pool.DFT, label.seconds)
            case Updated(results=results):
                self._use(Pool.GPU, sum(result.seconds for result in results))
            case Failed(failure=failure) if failure.task not in ("explore", "select"):
                self._use(POOL_OF_TASK[failure.task], failure.seconds)
            case Spent(kind=kind, start_s=start, seconds=seconds):
                if kind == "explore":  # no other event tells of what went well
                    self._use(Pool.MD, seconds)
                for clock in self.clocks:
                    clock.pass_by(start, seconds)

    def _use(self, pool: Pool, seconds: float) -> None:
        self.node_seconds += seconds * self.nodes[pool]

    def _stand(self, state: LoopState) -> None:
        self.step = state.checkpoint.step
        self.wants_label = state.phase in (Phase.LABEL, Phase.EXPLORE, Phase.INITIAL)
        self.wants_update = state.phase is Phase.UPDATE


def ledger_of(run: RunData, executor: Executor) -> Ledger:
    """What a run has used so far."""
    nodes = {pool: size.nodes for pool, size in executor.sizes().items()}
    ledger = Ledger(nodes, float(run.metadata["timestep_fs"]))
    ledger.catch_up(run)
    return ledger


def longest_s(run: RunData) -> dict[Pool, float]:
    """What the longest task of each pool took in a run so far, s; its MD soon shows by itself.

    Of an update, which several tasks share, the time until the last of them had ended.
    """
    kinds = [str(kind) for kind in run.timing.kind]
    return {
        Pool.DFT: max(map(float, run.labels.seconds), default=0.0),
        Pool.GPU: max(map(float, run.timing.seconds[np.array(kinds) == "update"]), default=0.0),
    }


def expect_as_long(share: Share, run: RunData) -> None:
    """Let the owner's tasks take as long as those of a run have taken so far."""
    for pool, seconds in longest_s(run).items():
        share.longest[pool] = max(share.longest[pool], seconds)

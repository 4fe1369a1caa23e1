"""Loops of a planned campaign: they ask for what real ones ask for, and compute nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from bnnflow.records import LabelRequest, PropagateRequest, SampleRequest
from workflows.plan_times import TaskTimes
from workflows.protocol import Await, Begin, First, Loop, Work
from workflows.requests import deal


@dataclass(frozen=True)
class PlayedRun:
    """One run of the campaign: atoms, MD steps of so many fs, chains of its ensemble.

    material: runs of one ask for labels alike; most_labels: with which it is left when one more is
    wanted; n_initial: labels of initial data; explore_steps: MD steps of each task that makes their
    frames; shares: name of the ensemble that walkers of the material have in common, or empty.
    """

    name: str
    n_atoms: int
    n_steps: int
    timestep_fs: float
    n_chains: int
    weight: float = 1.0
    priority: int = 0
    material: str = ""
    most_labels: int | None = None
    n_initial: int = 0
    explore_steps: tuple[int, ...] = ()
    shares: str = ""


@dataclass(frozen=True)
class Costs:
    """Seconds of the tasks of runs, and how many chains one task samples."""

    times: TaskTimes
    chains_per_task: int

    def label(self, run: PlayedRun) -> LabelRequest:
        """One label."""
        return _label(self.times.label_s(run.n_atoms))

    def update(self, run: PlayedRun, n_labels: int) -> tuple[SampleRequest, ...]:
        """All chains, with so many labels."""
        return tuple(
            _sample(self.times.update_s(run.n_atoms, n_labels, len(chains)))
            for chains in deal(run.n_chains, self.chains_per_task)
        )

    def md(self, run: PlayedRun, n_steps: int) -> PropagateRequest:
        """A stretch of MD."""
        return _propagate(self.times.md_s(run.n_atoms, n_steps))


def alone(run: PlayedRun, costs: Costs, labels: Sequence[int]) -> Loop:
    """Label, update, MD until the next label; the first label is of the first frame."""
    stretches = zip(labels, [*labels[1:], run.n_steps], strict=True)
    for made, (step, until) in enumerate(stretches, start=1 + run.n_initial):
        yield costs.label(run)
        if made == 1 + run.n_initial:
            yield from _initial(run, costs)
        yield costs.update(run, made)
        yield costs.md(run, until - step)
    return None  # type: ignore[return-value]


class PlannedEnsemble:
    """An ensemble that several walkers share, and its curator's loop.

    run: the first of them; members: how many there are.
    """

    def __init__(self, run: PlayedRun, members: int, costs: Costs) -> None:
        self._run = run
        self._costs = costs
        self._members = members
        self._led = False
        self._n_labels = 0
        self._new: list[Future[bool]] = []
        self._beginners: list[Future[bool]] = []
        self._version = 0
        self._curator: Future[bool] | None = None

    def curate(self) -> Loop:
        """Take all labels that have come since the last update into the next one."""
        while (yield Await(self._work())):
            taken, self._new = self._new, []
            self._n_labels += len(taken)
            yield self._costs.update(self._run, self._n_labels)
            self._version += 1
            taken += self._beginners
            self._beginners = []
            for future in taken:
                future.set_result(True)
        return None  # type: ignore[return-value]

    def walk(self, run: PlayedRun, labels: Sequence[int]) -> Loop:
        """A walker: the first to begin labels its first frame, the others wait for what follows."""
        if self._leads():
            yield self._costs.label(run)
            if run.n_initial:
                yield from _initial(run, self._costs)
                self._n_labels += run.n_initial
            yield Await(self._hand_in())
        elif not self._version:
            yield Await(self._begin())
        at = 0
        for step in (each for each in labels if each > 0):
            yield self._costs.md(run, step - at)
            yield self._costs.label(run)
            yield Await(self._hand_in())
            at = step
        yield self._costs.md(run, run.n_steps - at)
        self._members -= 1
        self._wake()
        return None  # type: ignore[return-value]

    def _leads(self) -> bool:
        first, self._led = not self._led, True
        return first

    def _hand_in(self) -> Future[bool]:
        future: Future[bool] = Future()
        self._new.append(future)
        self._wake()
        return future

    def _begin(self) -> Future[bool]:
        future: Future[bool] = Future()
        self._beginners.append(future)
        return future

    def _work(self) -> Future[bool]:
        self._curator = Future()
        waiting = self._curator
        self._wake()
        return waiting

    def _wake(self) -> None:
        if self._curator is not None and (self._new or not self._members):
            waiting, self._curator = self._curator, None
            waiting.set_result(bool(self._new))


def _initial(run: PlayedRun, costs: Costs) -> Iterator[Begin | First]:
    """Initial data: MD that makes frames is that of one model: by the times of the ensemble it
    costs too much.
    """
    yield from _at_once([costs.md(run, n_steps) for n_steps in run.explore_steps])
    yield from _at_once([costs.label(run) for _ in range(run.n_initial)])


def _at_once(work: Sequence[Work]) -> Iterator[Begin | First]:
    jobs = [Begin(each) for each in work]
    yield from jobs
    for job in jobs:
        yield First((job,))


@dataclass(frozen=True, eq=False, kw_only=True)
class _Label(LabelRequest):
    planned_s: float


@dataclass(frozen=True, eq=False, kw_only=True)
class _Sample(SampleRequest):
    planned_s: float


@dataclass(frozen=True, eq=False, kw_only=True)
class _Propagate(PropagateRequest):
    planned_s: float


def _label(seconds: float) -> _Label:
    return _Label(reference={}, structure=None, directory="", planned_s=seconds)  # type: ignore[arg-type]


def _sample(seconds: float) -> _Sample:
    nothing: Any = None
    return _Sample(
        potential=nothing,
        previous=nothing,
        chains=(),
        n_members=0,
        version=0,
        labels=(),
        energy_shift=0.0,
        energy_std=0.0,
        prior_std=0.0,
        schedule=nothing,
        seed=0,
        directory="",
        planned_s=seconds,
    )


def _propagate(seconds: float) -> _Propagate:
    nothing: Any = None
    return _Propagate(
        potential=nothing,
        ensemble=nothing,
        energy_std_floor=0.0,
        checkpoint=nothing,
        dynamics=nothing,
        n_steps=0,
        limit=0.0,
        planned_s=seconds,
    )

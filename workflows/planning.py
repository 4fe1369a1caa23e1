"""How long a campaign will take: its scheduling, played on a simulated clock before it is run.

The driver, its shares and its pools' sizes are those of a real campaign (`simulation`). A planned
loop asks for what a real one does - a label, initial data, an update of all chains, MD until the
next label - with times and label counts that were measured or given (`plan_times`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from bnnflow.records import LabelRequest, PropagateRequest, SampleRequest
from executors.base import Pool
from workflows.driver import Walker, drive
from workflows.plan_times import TaskTimes
from workflows.protocol import Begin, First, Loop, Work
from workflows.requests import deal
from workflows.shares import Share
from workflows.simulation import SimulatedPools


@dataclass(frozen=True)
class PlannedRun:
    """One run of the campaign: atoms, MD steps of so many fs, chains of its ensemble.

    n_initial: labels of initial data; explore_steps: MD steps of each task that makes their frames.
    """

    name: str
    n_atoms: int
    n_steps: int
    timestep_fs: float
    n_chains: int
    weight: float = 1.0
    priority: int = 0
    n_initial: int = 0
    explore_steps: tuple[int, ...] = ()


@dataclass(frozen=True)
class PlannedPools:
    """workers: tasks of each pool at once; nodes: that one task takes; start_s: until the first
    worker is there; latency_s: of a task beside its own time; cores: shared by all pools, or None.
    """

    workers: Mapping[Pool, int]
    nodes: Mapping[Pool, float]
    chains_per_task: int = 8
    start_s: float = 0.0
    latency_s: float = 0.0
    cores: int | None = None


@dataclass(frozen=True)
class Forecast:
    """wall_s: of the whole; busy: share of the wall time that the workers of a pool are busy;
    node_hours: by pool; labels: in all; ends_s: of each run; bottleneck: the busiest pool.
    """

    wall_s: float
    busy: Mapping[Pool, float]
    node_hours: Mapping[Pool, float]
    labels: int
    ends_s: Mapping[str, float] = field(repr=False)

    @property
    def bottleneck(self) -> Pool:
        """The pool whose workers rest least."""
        return max(self.busy, key=lambda pool: self.busy[pool])


@dataclass(frozen=True, eq=False, kw_only=True)
class _Label(LabelRequest):
    planned_s: float


@dataclass(frozen=True, eq=False, kw_only=True)
class _Sample(SampleRequest):
    planned_s: float


@dataclass(frozen=True, eq=False, kw_only=True)
class _Propagate(PropagateRequest):
    planned_s: float


def forecast(
    runs: Sequence[PlannedRun],
    times: TaskTimes,
    pools: PlannedPools,
    *,
    seed: int = 0,
    most_open: int | None = None,
) -> Forecast:
    """Play a campaign. seed: of which labels come when (`TaskTimes.label_steps`)."""
    simulated = SimulatedPools(
        pools.workers,
        seconds=lambda _pool, request: request.planned_s + pools.latency_s,
        answer=lambda _request: SimpleNamespace(),
        chains_per_task=pools.chains_per_task,
        cores=pools.cores,
    )
    ends: dict[str, float] = {}
    counts: list[int] = []
    with _no_collection():
        drive(
            _walkers(runs, times, pools, simulated, np.random.default_rng(seed), ends, counts),
            simulated,
            most_open=most_open,
            inbox=simulated,
        )
    wall = simulated.now() + pools.start_s
    return Forecast(
        wall_s=wall,
        busy={pool: simulated.busy[pool] / (wall * pools.workers[pool]) for pool in Pool},
        node_hours={pool: simulated.busy[pool] * pools.nodes[pool] / 3600.0 for pool in Pool},
        labels=sum(counts),
        ends_s=ends,
    )


@contextmanager
def _no_collection() -> Iterator[None]:
    """Looking for cycles among the objects of a hundred thousand runs takes most of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _walkers(
    runs: Sequence[PlannedRun],
    times: TaskTimes,
    pools: PlannedPools,
    simulated: SimulatedPools,
    random: np.random.Generator,
    ends: dict[str, float],
    counts: list[int],
) -> Iterator[Walker]:
    store: Any = SimpleNamespace(close=lambda: None)
    for run in runs:
        labels = times.label_steps(run.n_steps, run.timestep_fs, random)
        counts.append(len(labels) + run.n_initial)
        yield Walker(
            run.name,
            _loop(run, times, labels, pools.chains_per_task),
            store,
            on_commit=lambda _: None,
            on_end=lambda name=run.name: ends.__setitem__(name, simulated.now()),  # type: ignore[misc]
            share=Share(run.name, weight=run.weight, priority=run.priority),
        )


def _loop(run: PlannedRun, times: TaskTimes, labels: Sequence[int], chains_per_task: int) -> Loop:
    """Label, update, MD until the next label; the first label is of the first frame.

    The MD that makes frames is that of one model: by the times of the ensemble it costs too much.
    """
    stretches = zip(labels, [*labels[1:], run.n_steps], strict=True)
    for made, (step, until) in enumerate(stretches, start=1 + run.n_initial):
        yield _label(times.label_s(run.n_atoms))
        if made == 1 + run.n_initial:
            yield from _at_once([_propagate(times.md_s(run.n_atoms, n)) for n in run.explore_steps])
            yield from _at_once([_label(times.label_s(run.n_atoms)) for _ in range(run.n_initial)])
        yield tuple(
            _sample(times.update_s(run.n_atoms, made, len(chains)))
            for chains in deal(run.n_chains, chains_per_task)
        )
        yield _propagate(times.md_s(run.n_atoms, until - step))
    return None  # type: ignore[return-value]


def _at_once(work: Sequence[Work]) -> Iterator[Begin | First]:
    jobs = [Begin(each) for each in work]
    yield from jobs
    for job in jobs:
        yield First((job,))


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

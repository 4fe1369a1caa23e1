"""How long a campaign will take: its scheduling, played on a simulated clock before it is run.

The driver, its shares and its pools' sizes are those of a real campaign (`simulation`). A planned
loop asks for what a real one does - a label, initial data, an update of all chains, MD until the
next label (`planned_loops`) - with times and label counts that were measured or given
(`plan_times`).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from types import SimpleNamespace
from typing import Any

import numpy as np

from executors.base import Pool
from workflows.driver import Walker, drive
from workflows.plan_times import TaskTimes
from workflows.planned_loops import Costs, PlannedEnsemble, PlannedRun, alone
from workflows.protocol import Loop
from workflows.shares import Share
from workflows.simulation import SimulatedPools


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
    walkers = _Walkers(
        Costs(times, pools.chains_per_task), np.random.default_rng(seed), simulated.now
    )
    with _no_collection():
        drive(walkers.of(runs), simulated, most_open=most_open, inbox=simulated)
    wall = simulated.now() + pools.start_s
    return Forecast(
        wall_s=wall,
        busy={pool: simulated.busy[pool] / (wall * pools.workers[pool]) for pool in Pool},
        node_hours={pool: simulated.busy[pool] * pools.nodes[pool] / 3600.0 for pool in Pool},
        labels=walkers.n_labels,
        ends_s=walkers.ends_s,
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


class _Walkers:
    """The walkers of a campaign, one by one as the driver opens them; notes labels and ends."""

    def __init__(self, costs: Costs, random: np.random.Generator, now: Callable[[], float]) -> None:
        self._costs = costs
        self._random = random
        self._now = now
        self.n_labels = 0
        self.ends_s: dict[str, float] = {}

    def of(self, runs: Sequence[PlannedRun]) -> Iterator[Walker]:
        """Those that share an ensemble come together, after its curator."""
        for material, group in groupby(runs, key=lambda run: run.shares):
            members = list(group)
            yield from self._together(members) if material else map(self._alone, members)

    def _alone(self, run: PlannedRun) -> Walker:
        run, labels = self._labelled(run)
        self.n_labels += len(labels) + run.n_initial
        return self._walker(run, alone(run, self._costs, labels), _share(run))

    def _together(self, members: Sequence[PlannedRun]) -> Iterator[Walker]:
        """One labels the first frame and initial data, of which the others take the ensemble."""
        first = members[0]
        share, ensemble = _share(first), PlannedEnsemble(first, len(members), self._costs)
        self.n_labels += 1 + first.n_initial
        yield Walker(first.shares, ensemble.curate(), _STORE, _unheard, share=share, counted=False)
        for each in members:
            run, labels = self._labelled(each)
            self.n_labels += len(labels) - 1
            yield self._walker(run, ensemble.walk(run, labels), share)

    def _labelled(self, run: PlannedRun) -> tuple[PlannedRun, list[int]]:
        """The run up to its end, or to the label that is one too many; steps of its labels."""
        labels = self._costs.times.label_steps(run.n_steps, run.timestep_fs, self._random)
        room = len(labels) if run.most_labels is None else max(1, run.most_labels - run.n_initial)
        if room >= len(labels):
            return run, labels
        return replace(run, n_steps=labels[room]), labels[:room]

    def _walker(self, run: PlannedRun, loop: Loop, share: Share) -> Walker:
        on_end = lambda: self.ends_s.__setitem__(run.name, self._now())  # noqa: E731
        return Walker(run.name, loop, _STORE, _unheard, on_end=on_end, share=share)


_STORE: Any = SimpleNamespace(close=lambda: None)


def _unheard(_: Any) -> None:
    """What is committed is told to nobody."""


def _share(run: PlannedRun) -> Share:
    return Share(run.shares or run.name, weight=run.weight, priority=run.priority)

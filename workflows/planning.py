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
from workflows.plan_labels import LabelTimes
from workflows.plan_times import TaskTimes
from workflows.planned_loops import Costs, PlannedEnsemble, PlayedRun, alone
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
    runs: Sequence[PlayedRun],
    times: TaskTimes,
    pools: PlannedPools,
    *,
    seed: int = 0,
    most_open: int | None = None,
) -> Forecast:
    """Play a campaign. seed: of which labels come when (`LabelTimes`)."""
    simulated = SimulatedPools(
        pools.workers,
        seconds=lambda _pool, request: request.planned_s + pools.latency_s,
        answer=lambda _request: SimpleNamespace(),
        chains_per_task=pools.chains_per_task,
        cores=pools.cores,
    )
    walkers = _Walkers(
        Costs(times, pools.chains_per_task),
        LabelTimes(times.histories, np.random.default_rng(seed)),
        simulated.now,
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

    def __init__(self, costs: Costs, times: LabelTimes, now: Callable[[], float]) -> None:
        self._costs = costs
        self._times = times
        self._now = now
        self.n_labels = 0
        self.ends_s: dict[str, float] = {}
        self._shares: dict[str, Share] = {}

    def of(self, runs: Sequence[PlayedRun]) -> Iterator[Walker]:
        """Those that share an ensemble come together, after its curator."""
        for material, group in groupby(runs, key=lambda run: run.shares):
            members = list(group)
            yield from self._together(members) if material else map(self._alone, members)

    def _alone(self, run: PlayedRun) -> Walker:
        run, labels = self._labelled(run, begun_with=1 + run.n_initial)
        self.n_labels += len(labels) + run.n_initial
        return self._walker(run, alone(run, self._costs, labels), self._share(run))

    def _together(self, members: Sequence[PlayedRun]) -> Iterator[Walker]:
        """One labels the first frame and initial data, of which the others take the ensemble."""
        first = members[0]
        share, ensemble = self._share(first), PlannedEnsemble(first, len(members), self._costs)
        self.n_labels += 1 + first.n_initial
        yield Walker(first.shares, ensemble.curate(), _STORE, _unheard, share=share, counted=False)
        for number, each in enumerate(members):
            begun_with = 0 if number else 1 + first.n_initial
            run, labels = self._labelled(each, begun_with=begun_with)
            self.n_labels += len(labels) - 1
            yield self._walker(run, ensemble.walk(run, labels), share)

    def _share(self, run: PlayedRun) -> Share:
        """One for all runs of a material."""
        name = run.material or run.name
        new = Share(name, weight=run.weight, priority=run.priority)
        return self._shares.setdefault(name, new)

    def _labelled(self, run: PlayedRun, *, begun_with: int) -> tuple[PlayedRun, list[int]]:
        """The run up to its end, or to the label that is one too many; steps of its labels, that of
        the frame it begins with first.

        begun_with: labels on its account before MD begins.
        """
        steps = self._times.steps(run.material or run.name, run.n_steps, run.timestep_fs)
        room = len(steps) if run.most_labels is None else 1 + max(0, run.most_labels - begun_with)
        if room >= len(steps):
            return run, steps
        return replace(run, n_steps=steps[room]), steps[:room]

    def _walker(self, run: PlayedRun, loop: Loop, share: Share) -> Walker:
        def on_end() -> None:
            self.ends_s[run.name] = self._now()

        return Walker(run.name, loop, _STORE, _unheard, on_end=on_end, share=share)


_STORE: Any = SimpleNamespace(close=lambda: None)


def _unheard(_: Any) -> None:
    """What is committed is told to nobody."""

"""How long tasks take and when labels come, as measured on runs or given by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnnflow.analysis.run import Run, load
from bnnflow.errors import ConfigError, RunFolderError


@dataclass(frozen=True)
class LabelHistory:
    """When MD of one run was labelled: times, fs, the first at 0, of so many fs; without initial
    data.

    relative: a planned run of any length has as many labels, at the same shares of its length.
    """

    times_fs: tuple[float, ...]
    length_fs: float
    relative: bool = False

    def stretched(self, length_fs: float, random: np.random.Generator) -> list[float]:
        """Label times of a run of another length: cut off, or gone on with at the rate of the
        second half, as a Poisson process.
        """
        if self.relative:
            return [time * length_fs / self.length_fs for time in self.times_fs]
        kept = [time for time in self.times_fs if time < length_fs]
        late = sum(time >= self.length_fs / 2 for time in self.times_fs)
        extra = max(0.0, length_fs - self.length_fs)
        count = random.poisson(late / (self.length_fs / 2) * extra)
        return sorted([*kept, *(self.length_fs + extra * random.random(count))])


@dataclass(frozen=True)
class TaskTimes:
    """Seconds of tasks that run alone, of a material of `n_atoms` atoms (None: of any).

    label: of one label; md: of one MD step; update: (base, per label) of one chain's update with n
    labels; label_power: a label takes (atoms/n_atoms)^label_power as long, MD and updates
    (atoms/n_atoms); histories: when measured runs were labelled, one of which each planned run
    follows.
    """

    n_atoms: float | None
    label: float
    md: float
    update: tuple[float, float]
    histories: tuple[LabelHistory, ...]
    label_power: float = 2.0

    def label_s(self, n_atoms: int) -> float:
        """One label, s."""
        return float(self.label * self._size(n_atoms) ** self.label_power)

    def md_s(self, n_atoms: int, n_steps: int) -> float:
        """A stretch of MD, s."""
        return self.md * n_steps * self._size(n_atoms)

    def update_s(self, n_atoms: int, n_labels: int, n_chains: int) -> float:
        """An update of some chains in one task, s."""
        base, per_label = self.update
        return n_chains * (base + per_label * n_labels) * self._size(n_atoms)

    def _size(self, n_atoms: int) -> float:
        return 1.0 if self.n_atoms is None else n_atoms / self.n_atoms

    def label_steps(
        self, n_steps: int, timestep_fs: float, random: np.random.Generator
    ) -> list[int]:
        """MD steps at which a run is labelled, the first at 0."""
        history = self.histories[random.integers(len(self.histories))]
        times = history.stretched(n_steps * timestep_fs, random)
        return [min(round(time / timestep_fs), n_steps) for time in times] or [0]


def measure(folders: Sequence[Path], *, label_power: float = 2.0) -> TaskTimes:
    """Times from runs that had the pools to themselves.

    Medians over runs, each scaled to the mean number of atoms; the update of a chain by a straight
    line over the number of labels. Raises RunFolderError when no run has two ensembles yet.
    """
    loaded = [load(folder) for folder in folders]
    runs = [
        run
        for run in loaded
        if len(run.data.updates.version) > 1 and run.data.state.checkpoint.step > 0
    ]
    if not runs:
        raise RunFolderError(
            f"none of {', '.join(map(str, folders))} has two ensembles and an MD step yet, "
            "expected a run to measure times on: let one go on for longer"
        )
    atoms = float(np.mean([run.n_atoms for run in runs]))
    labels = [
        float(np.median(run.data.labels.seconds)) * (atoms / run.n_atoms) ** label_power
        for run in runs
    ]
    md = [_seconds_per_step(run) * atoms / run.n_atoms for run in runs]
    return TaskTimes(
        n_atoms=atoms,
        label=float(np.median(labels)),
        md=float(np.median(md)),
        update=_line(runs, atoms),
        histories=tuple(_history(run) for run in runs),
        label_power=label_power,
    )


def given(
    *,
    label: float | None,
    md: float | None,
    update: tuple[float, float],
    labels: int,
    power: float,
) -> TaskTimes:
    """Times said by hand, of a material of any size: nothing is scaled with the atoms.

    labels: of a run, half of them in its first tenth. Raises ConfigError when one is missing.
    """
    if label is None or md is None:
        raise ConfigError(
            "no task times are given, expected --from RUN, or --label-s and --md-s (and "
            "--update-s): measure them on one run of each kind of material"
        )
    late = labels // 2
    times = [*np.linspace(0.0, 0.1, labels - late, endpoint=False), *np.linspace(0.1, 1.0, late)]
    history = LabelHistory(tuple(map(float, times)), 1.0, relative=True)
    return TaskTimes(None, label, md, update, (history,), power)


def _seconds_per_step(run: Run) -> float:
    """Without the first task, which waits for the pool to start."""
    timing = run.data.timing
    spent = [each for kind, each in zip(timing.kind, timing.seconds, strict=True) if kind == "md"]
    return float(sum(spent[1:])) / run.data.state.checkpoint.step


def _line(runs: Sequence[Run], atoms: float) -> tuple[float, float]:
    """Seconds of a chain's update against the number of labels, least squares, no negative part.

    Each update brings one label, the first one those of the initial data as well.
    """
    updates = [(run.data.updates, atoms / run.n_atoms) for run in runs]
    counts = np.concatenate(
        [run.data.updates.version + run.data.state.n_initial for run in runs]
    ).astype(np.float64)
    seconds = np.concatenate([each.seconds / each.n_members * scale for each, scale in updates])
    slope, base = np.polyfit(counts, seconds, 1)
    if slope < 0.0:
        return float(seconds.mean()), 0.0
    if base < 0.0:
        return 0.0, float(counts @ seconds / (counts @ counts))
    return float(base), float(slope)


def _history(run: Run) -> LabelHistory:
    step_fs = run.config.dynamics.timestep_fs
    times = [float(step) * step_fs for step in run.data.labels.step[~run.initial]]
    return LabelHistory(tuple(times), run.data.state.checkpoint.step * step_fs)

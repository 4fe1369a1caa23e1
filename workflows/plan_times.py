"""How long tasks take and when labels come, as measured on runs or given by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from bnnflow.analysis.run import Run, load
from bnnflow.data import is_run
from bnnflow.data.layout import RUNS, SHARED, is_campaign
from bnnflow.errors import ConfigError, RunFolderError
from bnnflow.records import FloatArray

UNLIKE = 1.5
"""Materials whose numbers of atoms differ by such a factor tell how times go with the size."""
USUAL_POWER, LARGEST_POWER = 2.0, 4.0
"""Of the number of atoms, with which the time of a label goes: if nothing is known, and at most."""
PRIOR_RUNS, PRIOR_SPREAD = 3.0, 0.4
"""Materials of one kind have label rates alike to within a factor of exp(0.4); how many measured
runs that is worth."""
FARTHEST = float(np.log(4.0))
"""No run is planned to ask more than four times as often as the measured ones do."""


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

    @property
    def rate(self) -> float:
        """Labels per fs."""
        return len(self.times_fs) / self.length_fs

    def denser(self, factor: float) -> LabelHistory:
        """So many times the labels, at least the first one, spread over the run as these are."""
        known = [*self.times_fs, self.length_fs]
        count = max(1, round(factor * len(self.times_fs)))
        places = np.linspace(0.0, len(self.times_fs), count, endpoint=False)
        times = np.interp(places, np.arange(len(known)), known)
        return replace(self, times_fs=tuple(times.tolist()))


@dataclass(frozen=True)
class TaskTimes:
    """Seconds of tasks that run alone, of a material of `n_atoms` atoms (None: of any).

    label: of one label; md: (base, per size) of one MD step; update: (base, per label and size) of
    one chain's update with n labels; size is atoms/n_atoms; label_power: a label takes
    size^label_power as long; histories: when measured runs were labelled.
    """

    n_atoms: float | None
    label: float
    md: tuple[float, float]
    update: tuple[float, float]
    histories: tuple[LabelHistory, ...]
    label_power: float = 2.0

    def label_s(self, n_atoms: int) -> float:
        """One label, s."""
        return float(self.label * self._size(n_atoms) ** self.label_power)

    def md_s(self, n_atoms: int, n_steps: int) -> float:
        """A stretch of MD, s."""
        base, per_size = self.md
        return n_steps * (base + per_size * self._size(n_atoms))

    def update_s(self, n_atoms: int, n_labels: int, n_chains: int) -> float:
        """An update of some chains in one task, s."""
        base, per_label = self.update
        return n_chains * (base + per_label * n_labels * self._size(n_atoms))

    def _size(self, n_atoms: int) -> float:
        return 1.0 if self.n_atoms is None else n_atoms / self.n_atoms

    def label_steps(
        self, n_steps: int, timestep_fs: float, random: np.random.Generator
    ) -> list[int]:
        """MD steps at which a run is labelled, the first at 0."""
        times = self._history(random).stretched(n_steps * timestep_fs, random)
        steps = [min(round(time / timestep_fs), n_steps) for time in times]
        return steps if steps[:1] == [0] else [0, *steps]

    def _history(self, random: np.random.Generator) -> LabelHistory:
        """That of one measured run, with the label rate of one more of their kind.

        Logarithms of rates are taken to be normal with mean and variance unknown, the latter with a
        scaled inverse chi-squared prior worth `PRIOR_RUNS` runs; so that of the next one is
        distributed as Student's t (Gelman et al., Bayesian Data Analysis, 3rd ed., 3.2-3.3). What
        was given by hand is taken as it is.
        """
        chosen = self.histories[random.integers(len(self.histories))]
        if chosen.relative:
            return chosen
        logs = np.log([each.rate for each in self.histories])
        n, squares = len(logs), float(np.sum((logs - logs.mean()) ** 2))
        freedom = PRIOR_RUNS + n - 1
        scale = np.sqrt((PRIOR_RUNS * PRIOR_SPREAD**2 + squares) / freedom * (1.0 + 1.0 / n))
        off = np.clip(scale * random.standard_t(freedom), -FARTHEST, FARTHEST)
        return chosen.denser(float(np.exp(logs.mean() + off)) / chosen.rate)


def measure(folders: Sequence[Path], *, label_power: float | None = None) -> TaskTimes:
    """Times from runs, or campaigns of runs, that had the pools to themselves.

    Least squares over runs of different sizes, no negative parts. label_power: None takes that of
    the runs, or 2 where their sizes are much alike. Raises RunFolderError when no run has two
    ensembles yet.
    """
    runs = [load(each) for folder in folders for each in _runs_in(folder)]
    walkers = [run for run in runs if run.data.state.checkpoint.step > 0]
    learners = [run for run in runs if len(run.data.updates.version) > 1]
    if not (walkers and learners):
        raise RunFolderError(
            f"none of {', '.join(map(str, folders))} has two ensembles and an MD step yet, "
            "expected a run to measure times on: let one go on for longer"
        )
    atoms = float(np.mean([run.n_atoms for run in walkers]))
    labelled = [run for run in walkers if len(run.data.labels.seconds)]
    label, power = _labels(labelled, atoms, label_power)
    return TaskTimes(
        n_atoms=atoms,
        label=label,
        md=_md(walkers, atoms),
        update=_updates(learners, atoms),
        histories=tuple(_history(run) for run in walkers),
        label_power=power,
    )


def _runs_in(folder: Path) -> list[Path]:
    """The run, or those of a campaign and what their walkers share."""
    if not is_campaign(folder):
        return [folder]
    inside = [path for each in (RUNS, SHARED) for path in sorted((folder / each).glob("*"))]
    return [path for path in inside if is_run(path)]


def given(
    *,
    label: float | None,
    md: float | None,
    update: tuple[float, float],
    labels: int,
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
    return TaskTimes(None, label, (md, 0.0), update, (history,))


def _seconds_per_step(run: Run) -> float:
    """Without the first task, which waits for the pool to start."""
    timing = run.data.timing
    spent = [each for kind, each in zip(timing.kind, timing.seconds, strict=True) if kind == "md"]
    return float(sum(spent[1:])) / run.data.state.checkpoint.step


def _labels(runs: Sequence[Run], atoms: float, power: float | None) -> tuple[float, float]:
    """Seconds of a label at the mean size, and the power of the size that they go with."""
    medians = np.array([np.median(run.data.labels.seconds) for run in runs])
    sizes = np.array([run.n_atoms / atoms for run in runs])
    if power is None and sizes.max() < UNLIKE * sizes.min():
        power = USUAL_POWER
    elif power is None:
        slope = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
        power = float(np.clip(slope, 0.0, LARGEST_POWER))
    return float(np.median(medians / sizes**power)), power


def _md(runs: Sequence[Run], atoms: float) -> tuple[float, float]:
    """Seconds of a step: (base, per size); all of it per size where the sizes are much alike."""
    sizes = np.array([run.n_atoms / atoms for run in runs])
    seconds = np.array([_seconds_per_step(run) for run in runs])
    if sizes.max() < UNLIKE * sizes.min():
        return 0.0, float(np.median(seconds / sizes))
    return _line(np.ones(len(runs)), sizes, seconds)


def _updates(runs: Sequence[Run], atoms: float) -> tuple[float, float]:
    """Seconds of a chain's update: (base, per label and size)."""
    labels = [_labels_known(run) * run.n_atoms / atoms for run in runs]
    seconds = [run.data.updates.seconds / run.data.updates.n_members for run in runs]
    found = np.concatenate(labels)
    return _line(np.ones(len(found)), found, np.concatenate(seconds))


def _line(first: FloatArray, second: FloatArray, seconds: FloatArray) -> tuple[float, float]:
    """Coefficients of two columns, neither negative."""
    found, _ = nnls(np.stack([first, second], axis=1), seconds)
    return float(found[0]), float(found[1])


def _labels_known(run: Run) -> FloatArray:
    """Labels that each update had, as far as that is known."""
    first, last = 1 + run.data.state.n_initial, len(run.data.labels.seconds)
    return np.linspace(first, max(first, last), len(run.data.updates.version))


def _history(run: Run) -> LabelHistory:
    step_fs = run.config.dynamics.timestep_fs
    times = [float(step) * step_fs for step in run.data.labels.step[~run.initial]]
    return LabelHistory(tuple(times), run.data.state.checkpoint.step * step_fs)

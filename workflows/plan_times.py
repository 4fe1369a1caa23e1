"""How long tasks take, as measured on runs or given by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import nnls

from bnnflow.analysis.run import Run, load
from bnnflow.data import is_run
from bnnflow.data.layout import RUNS, SHARED, is_campaign
from bnnflow.errors import ConfigError, RunFolderError
from bnnflow.records import FloatArray
from workflows.plan_labels import LabelHistory

UNLIKE = 1.5
"""Materials whose numbers of atoms differ by such a factor tell how times go with the size."""
USUAL_POWER, LARGEST_POWER = 2.0, 4.0
"""Of the number of atoms, with which the time of a label goes: if nothing is known, and at most."""


@dataclass(frozen=True)
class TaskTimes:
    """Seconds of tasks that run alone, of a material of `n_atoms` atoms (None: of any).

    label: of one label; md: (fixed, per size) of one MD step; update: (fixed, per size, per label
    and size) of one chain's update with n labels; size is atoms/n_atoms; label_power: a label takes
    size^label_power as long; histories: when measured runs were labelled.
    """

    n_atoms: float | None
    label: float
    md: tuple[float, float]
    update: tuple[float, float, float]
    histories: tuple[LabelHistory, ...]
    label_power: float = 2.0

    def label_s(self, n_atoms: int) -> float:
        """One label, s."""
        return float(self.label * self._size(n_atoms) ** self.label_power)

    def md_s(self, n_atoms: int, n_steps: int) -> float:
        """A stretch of MD, s."""
        fixed, per_size = self.md
        return n_steps * (fixed + per_size * self._size(n_atoms))

    def update_s(self, n_atoms: int, n_labels: int, n_chains: int) -> float:
        """An update of some chains in one task, s."""
        fixed, per_size, per_label = self.update
        size = self._size(n_atoms)
        return n_chains * (fixed + per_size * size + per_label * n_labels * size)

    def _size(self, n_atoms: int) -> float:
        return 1.0 if self.n_atoms is None else n_atoms / self.n_atoms


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a run tells: its MD with the labels of it (None: it drove none), seconds per step (None:
    its one stretch waited for the pool to start), of each label; and of one chain's updates, with
    the labels that each knew.
    """

    n_atoms: int
    history: LabelHistory | None
    step_s: float | None
    label_s: FloatArray
    update_s: FloatArray
    known: FloatArray


def measure(folders: Sequence[Path], *, label_power: float | None = None) -> TaskTimes:
    """Times from runs, or campaigns of runs, that had the pools to themselves.

    Least squares over runs of different sizes, no negative parts. label_power: None takes that of
    the runs, or 2 where their sizes are much alike. Raises RunFolderError when a folder holds no
    run, or no run has MD, a label that took time and two ensembles yet; ConfigError for a power
    that is none.
    """
    if label_power is not None:
        require_amounts({"--label-power": label_power})
    runs = [_look(load(each)) for folder in folders for each in _runs_in(folder)]
    walkers = [run for run in runs if run.history is not None]
    timed = [run for run in walkers if run.step_s is not None]
    labelled = [run for run in runs if len(run.label_s) and np.median(run.label_s) > 0.0]
    learners = [run for run in runs if len(run.update_s) > 1]
    if not (timed and labelled and learners):
        raise RunFolderError(
            f"the runs of {', '.join(map(str, folders))} have no {_lacking(timed, labelled)} yet, "
            "expected a run to measure times on: let one go on for longer"
        )
    atoms = float(np.mean([run.n_atoms for run in walkers]))
    label, power = _labels(labelled, atoms, label_power)
    return TaskTimes(
        n_atoms=atoms,
        label=label,
        md=_md(timed, atoms),
        update=_updates(learners, atoms),
        histories=tuple(run.history for run in walkers if run.history is not None),
        label_power=power,
    )


def _lacking(timed: Sequence[_Seen], labelled: Sequence[_Seen]) -> str:
    """What there is nothing of to measure."""
    if not timed:
        return "MD after their first label"
    return "two ensembles" if labelled else "label that took time"


def _runs_in(folder: Path) -> list[Path]:
    """The run, or those of a campaign and what their walkers share."""
    if is_run(folder):
        return [folder]
    if not is_campaign(folder):
        raise RunFolderError(f"{folder} holds no run, expected a run or a campaign: check the path")
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

    labels: of a run, half of them in its first tenth. Raises ConfigError when a time is missing, or
    negative, or not a finite number.
    """
    if label is None or md is None:
        raise ConfigError(
            "no task times are given, expected --from RUN, or --label-s and --md-s (and "
            "--update-s): measure them on one run of each kind of material"
        )
    per_chain = dict(zip(("--update-s", "--update-per-label-s"), update, strict=True))
    require_amounts({"--label-s": label, "--md-s": md, **per_chain})
    late = labels // 2
    times = [*np.linspace(0.0, 0.1, labels - late, endpoint=False), *np.linspace(0.1, 1.0, late)]
    history = LabelHistory(tuple(map(float, times[1:])), 1.0, relative=True)
    return TaskTimes(None, label, (md, 0.0), (update[0], 0.0, update[1]), (history,))


def require_amounts(amounts: Mapping[str, float]) -> None:
    """Raises ConfigError, in one line, for an option of `bnnflow plan` that is no amount."""
    for name, value in amounts.items():
        if not 0.0 <= value < np.inf:
            raise ConfigError(f"{name} is {value:g}, expected 0 or a positive number: change it")


def _look(run: Run) -> _Seen:
    """Without the frames: a campaign has many runs."""
    labels, updates = run.data.labels, run.data.updates
    return _Seen(
        n_atoms=run.n_atoms,
        history=_history(run),
        step_s=_seconds_per_step(run),
        label_s=labels.seconds,
        update_s=updates.seconds / updates.n_members,
        known=_labels_known(run),
    )


def _history(run: Run) -> LabelHistory | None:
    step_fs, driven = run.config.dynamics.timestep_fs, run.data.state.checkpoint.step
    if not driven:
        return None
    steps = run.data.labels.step[~run.initial]
    times = tuple(float(step) * step_fs for step in steps if step > 0)
    return LabelHistory(times, driven * step_fs, material=run.config.material.structure)


def _seconds_per_step(run: Run) -> float | None:
    """Without the first stretch, which waits for the pool to start: the time and the steps to the
    first label, audits included, or to the first checkpoint. None when there is no other."""
    timing, dynamics = run.data.timing, run.config.dynamics
    spent = [each for kind, each in zip(timing.kind, timing.seconds, strict=True) if kind == "md"]
    driven = run.data.labels.step[run.data.labels.step > 0]
    first = min([dynamics.checkpoint_every_steps, *map(int, driven)])
    later = run.data.state.checkpoint.step - first
    return float(sum(spent[1:])) / later if len(spent) > 1 and later > 0 else None


def _labels_known(run: Run) -> FloatArray:
    """Labels that each update had, as far as that is known: the first one that of the first frame
    and the initial data, the last one all; in between they come evenly, one each where no walkers
    share the ensemble.
    """
    first, last = 1 + int(run.initial.sum()), len(run.data.labels.seconds)
    return np.linspace(first, max(first, last), len(run.data.updates.version))


def _labels(runs: Sequence[_Seen], atoms: float, power: float | None) -> tuple[float, float]:
    """Seconds of a label at the mean size, and the power of the size that they go with."""
    medians = np.array([np.median(run.label_s) for run in runs])
    sizes = _sizes(runs, atoms)
    if power is None and _alike(sizes):
        power = USUAL_POWER
    elif power is None:
        slope = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
        power = float(np.clip(slope, 0.0, LARGEST_POWER))
    return float(np.median(medians / sizes**power)), power


def _md(runs: Sequence[_Seen], atoms: float) -> tuple[float, float]:
    """Seconds of a step: (fixed, per size); all of it per size where the sizes are much alike."""
    sizes = _sizes(runs, atoms)
    seconds = np.array([run.step_s for run in runs], dtype=np.float64)
    if _alike(sizes):
        return 0.0, float(np.median(seconds / sizes))
    fixed, per_size = _fit([np.ones(len(runs)), sizes], seconds)
    return fixed, per_size


def _updates(runs: Sequence[_Seen], atoms: float) -> tuple[float, float, float]:
    """Seconds of a chain's update: (fixed, per size, per label and size); nothing is fixed where
    the sizes are much alike.
    """
    alike = _alike(_sizes(runs, atoms))
    size = np.concatenate([np.full(len(run.update_s), run.n_atoms / atoms) for run in runs])
    known = np.concatenate([run.known for run in runs])
    seconds = np.concatenate([run.update_s for run in runs])
    base, per_label = _fit([size if alike else np.ones(len(size)), known * size], seconds)
    return (0.0, base, per_label) if alike else (base, 0.0, per_label)


def _sizes(runs: Sequence[_Seen], atoms: float) -> FloatArray:
    return np.array([run.n_atoms / atoms for run in runs])


def _alike(sizes: FloatArray) -> bool:
    return bool(sizes.max() < UNLIKE * sizes.min())


def _fit(columns: Sequence[FloatArray], seconds: FloatArray) -> tuple[float, ...]:
    """Least squares, no coefficient negative."""
    found, _ = nnls(np.stack(columns, axis=1), seconds)
    return tuple(map(float, found))

"""A run folder as the analysis sees it: what was recorded, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnflow.config import RunConfig, config_from_yaml
from bnnflow.data import RunData, read_run
from bnnflow.records import Calibration, EnsembleRef, FloatArray, IntArray, Reason, Structure
from bnnflow.uncertainty import energy_calibration, largest_trusted_std, locked_in

KINDS: tuple[str, ...] = ("md", "label", "update", "idle")
"""Kinds of wall time, in the order they are shown."""


_UNASKED = (Reason.AUDIT.value, Reason.GUARD.value, Reason.INITIAL.value)


@dataclass(frozen=True, eq=False)
class Run:
    """A run up to its last commit; made by `load`. Energies in eV of the whole cell."""

    folder: Path
    data: RunData
    config: RunConfig

    @property
    def n_atoms(self) -> int:
        """Atoms in the cell."""
        return len(self.data.numbers)

    @property
    def threshold(self) -> float:
        """K, eV."""
        return self.config.threshold.energy_threshold_eV(self.n_atoms)

    @property
    def floor(self) -> float:
        """Fixed likelihood std of the energy, below which sigma* cannot fall, eV."""
        return self.config.threshold.energy_std_eV(self.n_atoms)

    @property
    def calibration(self) -> Calibration:
        """The one by which energies are judged now."""
        state = self.data.state
        return energy_calibration(
            state.calibration, state.estimates.audit, self.config.calibration.use
        )

    @property
    def limit(self) -> float:
        """Largest sigma* trusted now, eV."""
        return largest_trusted_std(
            self.calibration,
            threshold=self.threshold,
            confidence=self.config.threshold.confidence,
        )

    @property
    def locked_in(self) -> bool:
        """Whether the floor alone asks for a label at every step (DECISIONS 3)."""
        return locked_in(
            self.calibration,
            floor_std=self.floor,
            threshold=self.threshold,
            confidence=self.config.threshold.confidence,
        )

    @property
    def time_ps(self) -> float:
        """MD time taken, ps."""
        return self.data.state.checkpoint.step * self.config.dynamics.timestep_fs / 1000.0

    @property
    def start(self) -> Structure:
        """The first labelled frame, where MD began; before it is labelled, where MD stands."""
        now, labels = self.data.state.checkpoint.structure, self.data.labels
        if not labels.name:
            return now
        return replace(now, positions=labels.positions[0], cell=labels.cells[0])

    @property
    def interventions(self) -> NDArray[np.bool_]:
        """(n_labels,) labels asked for because of uncertainty: see `interventions`."""
        labels = self.data.labels
        return interventions(labels.error, labels.energy_std, labels.reason)

    @property
    def audits(self) -> NDArray[np.bool_]:
        """(n_labels,) labels of trusted frames, asked for by the clock."""
        return self._because_of(Reason.AUDIT)

    @property
    def initial(self) -> NDArray[np.bool_]:
        """(n_labels,) labels of initial data, made before MD began."""
        return self._because_of(Reason.INITIAL)

    def _because_of(self, reason: Reason) -> NDArray[np.bool_]:
        reasons = np.array(self.data.labels.reason, dtype=str)
        return np.asarray(reasons == reason.value)

    @property
    def ensemble(self) -> EnsembleRef | None:
        """The newest ensemble, found also when the run folder was moved; None before the first."""
        found = self.data.state.ensemble
        if found is None:
            return None
        home = (self.folder.resolve() / self.config.run.shared_ensemble).resolve()
        inside = home / "ensemble" / Path(found.directory).name
        directory = inside if inside.is_dir() else Path(found.directory)
        return EnsembleRef(str(directory), found.version, found.n_members)

    def frame_of(self, steps: IntArray) -> IntArray:
        """Rows of the trajectory that hold these MD steps; steps not taken yet are left out."""
        taken = self.data.trajectory.steps
        return np.flatnonzero(np.isin(taken, steps))

    def seconds(self) -> dict[str, float]:
        """Wall time spent by kind, s: md, label, update, idle, then any other.

        Where several tasks of a kind went on at once, each moment counts once.
        """
        timing = self.data.timing
        kinds = np.array(timing.kind, dtype=str)
        return {
            kind: _covered(timing.start_s[kinds == kind], timing.seconds[kinds == kind])
            for kind in dict.fromkeys((*KINDS, *timing.kind))
        }

    def last_sigma(self) -> float:
        """The newest sigma* predicted in this run, eV; NaN when there is none."""
        waiting = self.data.state.prediction
        if waiting is not None:
            return float(waiting.energy_std)
        values: FloatArray = self.data.trajectory.energy_std
        finite = values[np.isfinite(values)]
        return float(finite[-1]) if len(finite) else float("nan")


def _covered(start: FloatArray, seconds: FloatArray) -> float:
    """Length of the union of some stretches of time, s."""
    order = np.argsort(start, kind="stable")
    begin, end = start[order], np.maximum.accumulate((start + seconds)[order])
    gaps = np.maximum(0.0, begin[1:] - end[:-1]).sum()
    return float(end[-1] - begin[0] - gaps) if len(end) else 0.0


def interventions(error: FloatArray, std: FloatArray, reason: Sequence[str]) -> NDArray[np.bool_]:
    """(n_labels,) which labels count: asked for because of uncertainty; not the first frame, no
    audits, no initial data, none of MD that went astray.

    error, std, reason: (n_labels,), NaN where there was no prediction.
    """
    asked = np.isfinite(std) & np.isfinite(error)
    asked &= np.arange(len(asked)) > 0
    return np.asarray(asked & ~np.isin(np.array(reason, dtype=str), _UNASKED))


def load(folder: Path) -> Run:
    """Read a run folder; files that its config names are not looked at.

    Raises RunFolderError when there is no readable run, ConfigError when its config is of another
    version.
    """
    data = read_run(folder)
    return Run(folder, data, config_from_yaml(data.config_text, source=f"{folder}/config.yaml"))

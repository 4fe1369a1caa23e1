"""One method's updates, one after the other, each kept as soon as it is done.

A folder METHOD-SEED holds `settings.json`, and for each number of labels N: `N.json` (figures and
costs), `N.npz` (the members' predictions of the test frames) and `vNNN/` (the members). `0` is the
foundation model. What is there is not made again; another setting is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bnnflow.codec import publish
from bnnflow.errors import ConfigError
from bnnflow.potentials import load_ensemble, load_foundation
from bnnflow.potentials.ensemble import Ensemble
from bnnflow.records import EnsembleRef, Label
from heldout_study.figures import figures
from heldout_study.method import Fit, Method, Step
from heldout_study.predictions import Predictions, predict
from heldout_study.setting import Setting

SETTINGS_FILE = "settings.json"


@dataclass(frozen=True, eq=False)
class Study:
    """One method with one seed. train: labels, oldest first; test: labels that stay held out."""

    folder: Path
    name: str
    method: Method
    setting: Setting
    train: Sequence[Label]
    test: Sequence[Label]

    def run(self, counts: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Update to each number of labels in turn; yields the record of each.

        Raises ConfigError when the folder holds a run of another setting, other data or another
        order of updates.
        """
        self._claim()
        shift = self._energy_shift()
        yield self._foundation(shift)
        previous = 0
        for count in counts:
            yield self._read(count, previous) or self._update(count, previous, shift)
            previous = count

    def _claim(self) -> None:
        """Write the settings, or compare them with those that are there."""
        wanted = {"method": self.name, **asdict(self.setting), "data": self._data()}
        path = self.folder / SETTINGS_FILE
        if not path.is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_json(path, wanted)
        found = json.loads(path.read_text())
        other = sorted(key for key in wanted if found.get(key) != wanted[key])
        if other:
            raise ConfigError(
                f"{self.folder} is a run with other {', '.join(other)}: expected "
                f"{', '.join(str(wanted[key]) for key in other)}; choose another --runs folder"
            )

    def _data(self) -> str:
        """Checksum of the test labels and of the first training label."""
        energies = np.array([label.energy for label in (*self.test, self.train[0])])
        return hashlib.sha256(np.round(energies, 6).tobytes()).hexdigest()[:16]

    def _energy_shift(self) -> float:
        """eV: the foundation model's energy less the reference's, at the first frame."""
        first = self.train[0]
        energy = load_foundation(self.setting.spec).members(first.structure).energy
        return float(energy[0]) - first.energy

    def _foundation(self, shift: float) -> dict[str, Any]:
        done = self._read(0, None)
        if done is not None:
            return done
        return self._keep(load_foundation(self.setting.spec), shift, {"n": 0, "previous": None})

    def _update(self, count: int, previous: int, shift: float) -> dict[str, Any]:
        before = self._ensemble(previous) if self.method.sequential and previous else None
        step = Step(energy_shift=shift, previous=before, target=self._ensemble(count))
        wall, cpu = time.monotonic(), time.process_time()
        fit = self.method.update(self.train[:count], step)
        seconds = {
            "wall_seconds": time.monotonic() - wall,
            "cpu_seconds": time.process_time() - cpu,
        }
        ensemble = load_ensemble(self.setting.spec, step.target)
        record = {"n": count, "previous": self._previous(previous), **seconds, **_cost(fit)}
        return self._keep(ensemble, shift, record)

    def _keep(self, ensemble: Ensemble, shift: float, record: dict[str, Any]) -> dict[str, Any]:
        found = predict(ensemble, self.test, energy_shift=shift, energy_std=self.setting.energy_std)
        found.save(predictions_path(self.folder, record["n"]))
        record |= {"method": self.name, "seed": self.setting.seed, "energy_shift": shift}
        record |= {"host": platform.node(), "figures": figures(found)}
        write_json(record_path(self.folder, record["n"]), record)
        return record

    def _read(self, count: int, previous: int | None) -> dict[str, Any] | None:
        path = record_path(self.folder, count)
        if not path.is_file():
            return None
        record: dict[str, Any] = json.loads(path.read_text())
        expected = None if previous is None else self._previous(previous)
        if record["previous"] != expected:
            raise ConfigError(
                f"{path} is an update from {record['previous']} labels, expected from {expected}: "
                "give the same --frames as before, or more at the end"
            )
        return record

    def _previous(self, previous: int) -> int | None:
        return previous if self.method.sequential else None

    def _ensemble(self, count: int) -> EnsembleRef:
        return EnsembleRef(str(self.folder / f"v{count:03d}"), count, self.setting.chains)


def record_path(folder: Path, count: int) -> Path:
    """The record of one update."""
    return folder / f"{count}.json"


def predictions_path(folder: Path, count: int) -> Path:
    """The predictions after one update."""
    return folder / f"{count}.npz"


def load_predictions(folder: Path, count: int) -> Predictions:
    """The predictions after one update."""
    return Predictions.load(predictions_path(folder, count))


def write_json(path: Path, content: Any) -> None:
    """Write JSON that appears whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, indent=1))
    publish(temporary, path)


def _cost(fit: Fit) -> dict[str, Any]:
    return {"gradients_per_member": fit.gradients, "report": dict(fit.report)}

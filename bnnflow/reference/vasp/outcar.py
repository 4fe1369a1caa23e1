"""Read OUTCAR for what vasprun.xml lacks: convergence as VASP judges it, magnetic moments.

VASP ends its electronic loop when the changes of total energy and of band-structure energy are both
below EDIFF, or after NELM steps. VASP 5 prints "aborting loop because EDIFF is reached" in both
cases, so that line alone proves nothing (it does in VASP 6, which has another for the second).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bnnflow.records import FloatArray
from bnnflow.reference.vasp.numbers import number, stress_from_kilobar


@dataclass(frozen=True, eq=False)
class OutcarStep:
    """One ionic step: n electronic steps, the last changes of energy (eV), and what came of it.

    ended: VASP's own words for the end of the electronic loop, "" when it never came; forces,
    positions: (n_atoms, 3) eV/Å and Å, stress: (6,) eV/Å³ in ASE's order and sign, as printed;
    moments: (n_atoms,) µB inside the projection spheres, where LORBIT asks for them;
    total_moment: µB of the cell.
    """

    electronic_steps: int
    energy_change: float
    band_energy_change: float
    ended: str
    free_energy: float
    energy_without_entropy: float
    energy_sigma_0: float
    positions: FloatArray | None
    forces: FloatArray | None
    stress: FloatArray | None
    moments: FloatArray | None
    total_moment: float


@dataclass(frozen=True)
class Outcar:
    """An OUTCAR. titles: POTCARs in order of species; finished: whether its last block is there."""

    version: str
    nelm: int
    ediff: float
    n_electrons: float
    titles: tuple[str, ...]
    steps: tuple[OutcarStep, ...]
    finished: bool

    def converged(self, step: OutcarStep) -> bool:
        """Whether the electronic loop of a step ended because EDIFF was reached."""
        if "EDIFF is reached" not in step.ended:
            return False
        changes = abs(step.energy_change), abs(step.band_energy_change)
        return step.electronic_steps < self.nelm or max(changes) < self.ediff


def read_outcar(path: Path) -> Outcar:
    """Read an OUTCAR, also one that was cut short. Raises OSError when there is none."""
    reader = _Reader()
    with path.open(encoding="latin-1") as lines:
        for line in lines:
            reader.take(line)
    return reader.outcar()


_NUMBER = r"([-+]?[\d.]+(?:[eE]?[-+]\d+)?|\*+)"
_ITERATION = re.compile(r"Iteration\s+(\d+)\(\s*(\d+|\*+)\s*\)")
_CHANGE = re.compile(rf"total energy-change \(2\. order\) :\s*{_NUMBER}\s*\(\s*{_NUMBER}\s*\)")
_ENERGIES = re.compile(
    rf"energy\s+without entropy\s*=\s*{_NUMBER}\s+energy\(sigma->0\)\s*=\s*{_NUMBER}"
)
_SETTINGS = {
    "nelm": re.compile(r"^\s+NELM\s*=\s*(\d+);"),
    "ediff": re.compile(r"^\s+EDIFF\s*=\s*(\S+)\s+stopping-criterion for ELM"),
    "n_electrons": re.compile(r"^\s+NELECT\s*=\s*(\S+)\s+total number"),
}


@dataclass
class _Step:
    """The ionic step that is being read."""

    electronic_steps: int = 0
    changes: tuple[float, float] = (float("nan"), float("nan"))
    ended: str = ""
    energies: tuple[float, float, float] = (float("nan"),) * 3
    positions: list[list[float]] = field(default_factory=list)
    stress: FloatArray | None = None
    moments: list[float] = field(default_factory=list)
    total_moment: float = float("nan")

    def done(self) -> OutcarStep:
        table = np.array(self.positions, dtype=np.float64) if self.positions else None
        free, without, sigma_0 = self.energies
        return OutcarStep(
            electronic_steps=self.electronic_steps,
            energy_change=self.changes[0],
            band_energy_change=self.changes[1],
            ended=self.ended,
            free_energy=free,
            energy_without_entropy=without,
            energy_sigma_0=sigma_0,
            positions=None if table is None else table[:, :3],
            forces=None if table is None else table[:, 3:6],
            stress=self.stress,
            moments=np.array(self.moments) if self.moments else None,
            total_moment=self.total_moment,
        )


class _Reader:
    """Takes OUTCAR line by line; `table` is what reads the lines of a table under way."""

    def __init__(self) -> None:
        self.version = ""
        self.settings: dict[str, float] = {}
        self.titles: list[str] = []
        self.steps: list[_Step] = []
        self.finished = False
        self.table: Callable[[str], bool] | None = None

    def take(self, line: str) -> None:
        if self.table is not None:
            if not self.table(line):
                self.table = None
            return
        if self.steps:
            self._take_result(line)
        else:
            self._take_setting(line)

    def outcar(self) -> Outcar:
        return Outcar(
            version=self.version,
            nelm=int(self.settings.get("nelm", 0)),
            ediff=self.settings.get("ediff", float("nan")),
            n_electrons=self.settings.get("n_electrons", float("nan")),
            titles=tuple(self.titles),
            steps=tuple(step.done() for step in self.steps),
            finished=self.finished,
        )

    def _take_setting(self, line: str) -> None:
        if not self.version and line.startswith(" vasp."):
            self.version = line.split()[0].removeprefix("vasp.")
        elif line.strip().startswith("TITEL"):
            self.titles.append(line.partition("=")[2].strip())
        elif "Iteration" in line:
            self._begin(line)
        else:
            for name, pattern in _SETTINGS.items():
                match = pattern.match(line)
                if match and name not in self.settings:
                    self.settings[name] = number(match[1])

    def _take_result(self, line: str) -> None:
        step = self.steps[-1]
        if "Iteration" in line:
            self._begin(line)
        elif match := _CHANGE.search(line):
            step.changes = number(match[1]), number(match[2])
        elif line.startswith(" number of electron") and "magnetization" in line:
            step.total_moment = number(line.partition("magnetization")[2])
        elif "aborting loop" in line or "hard stop encountered" in line:
            step.ended = line.strip(" -\n")
        elif line.startswith("  free  energy   TOTEN"):
            step.energies = (number(line.partition("=")[2].split()[0]), *step.energies[1:])
        elif line.startswith("  energy  without entropy") and (match := _ENERGIES.search(line)):
            step.energies = (step.energies[0], number(match[1]), number(match[2]))
        elif line.startswith("  in kB"):
            step.stress = _stress(line)
        elif line.startswith(" magnetization (x)"):
            self.table = _moments(step)
        elif line.startswith(" POSITION") and "TOTAL-FORCE" in line:
            self.table = _forces(step)
        elif "General timing and accounting" in line:
            self.finished = True

    def _begin(self, line: str) -> None:
        match = _ITERATION.search(line)
        if match is None:
            return
        if int(match[1]) > len(self.steps):
            self.steps.append(_Step())
        self.steps[-1].electronic_steps += 1


def _stress(line: str) -> FloatArray | None:
    """From xx yy zz xy yz zx in kB."""
    values = [number(word) for word in line.split()[2:8]]
    if len(values) < 6:
        return None
    xx, yy, zz, xy, yz, zx = values
    return stress_from_kilobar(np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]))


def _moments(step: _Step) -> Callable[[str], bool]:
    """Reads the rows of "# of ion  s  p  d  tot"; of several such tables the last counts.

    No sum closes the table of a single atom, so it ends with the first line that is no row.
    """
    step.moments = []

    def take(line: str) -> bool:
        words = line.split()
        if words[:1] == [str(len(step.moments) + 1)]:
            step.moments.append(number(words[-1]))
            return True
        return not step.moments

    return take


def _forces(step: _Step) -> Callable[[str], bool]:
    """Reads x y z Fx Fy Fz of every atom, between two rules."""
    step.positions = []
    rules = 0

    def take(line: str) -> bool:
        nonlocal rules
        if line.strip().startswith("---"):
            rules += 1
        else:
            values = [number(word) for word in line.split()[:6]]
            step.positions.append(values + [float("nan")] * (6 - len(values)))
        return rules < 2

    return take

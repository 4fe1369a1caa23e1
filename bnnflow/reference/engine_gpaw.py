"""GPAW in its plane-wave mode: crystals, and molecules in a box.

The energy is GPAW's free energy (the -TS of smearing is in it), the one that forces and stress are
the derivatives of, relative to the reference atoms of its setups. Every label starts from atomic
orbitals.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase.data import chemical_symbols

from bnnflow.errors import ConfigError, ReferenceError
from bnnflow.records import Failure, FailureCause, Label, Structure
from bnnflow.reference.base import Remedy
from bnnflow.reference.checks import failed, verify
from bnnflow.reference.evidence import LOG
from bnnflow.reference.exchange import STRESS_CONVENTION
from bnnflow.reference.meshes import GAMMA
from bnnflow.reference.periodic import FREE, NO_SMEARING, Periodic
from bnnflow.reference.room import ran_out_of

_INPUT, _OUTPUT = "input.json", "output.json"
_SCRIPT = Path(__file__).with_name("run_gpaw.py")
_RESULTS = ("energy", "forces", "stress", "numbers", "positions", "cell", "k_points", "converged")
_EXCEPTION = re.compile(r"^(?:rank=\d+ L\d+: )?([\w.]*(?:Error|Exception)(?:: .*)?)$", re.MULTILINE)
_NO_SETUP = re.compile(r"Could not find required PAW dataset[^\n]*", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class GPAWReference(Periodic):
    """GPAW. Besides the settings of `Periodic`:

    cutoff_eV: of the plane waves; functional: as GPAW names it (LDA, PBE, RPBE...), whose setups
    are used, or those of `setups`, by element; conv_energy_eV: per valence electron; conv_density:
    electrons per valence electron; conv_forces_eV_per_A: 0 for none; mixer: msr1 or pulay,
    mixing_beta 0 for its own default; eigensolver: ppcg, davidson or rmm-diis; max_steps: SCF
    iterations allowed; pools: groups of ranks that share the k-points, 1 for GPAW's own choice;
    python: interpreter of the environment GPAW is in, "" for this one.
    """

    cutoff_eV: float
    functional: str = "PBE"
    setups: Mapping[str, Any] = field(default_factory=dict)
    conv_energy_eV: float = 1e-6
    conv_density: float = 1e-5
    conv_forces_eV_per_A: float = 1e-3
    mixer: str = "msr1"
    mixing_beta: float = 0.0
    eigensolver: str = "ppcg"
    max_steps: int = 200
    pools: int = 1
    python: str = ""

    smearings: ClassVar[tuple[str, ...]] = (
        "gaussian",
        "methfessel-paxton",
        "marzari-vanderbilt",
        "fermi-dirac",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.python and importlib.util.find_spec("gpaw") is None:
            raise ReferenceError(
                "GPAW is not installed: install it (docs/reference-codes.md), or give in python "
                "the interpreter of an environment that has it"
            )
        convergence = (self.conv_energy_eV, self.conv_density)
        if min(self.cutoff_eV, *convergence) <= 0 or min(self.max_steps, self.pools) < 1:
            raise ConfigError(
                "gpaw: cutoff_eV, conv_energy_eV, conv_density, max_steps and pools must be > 0"
            )

    @property
    def level(self) -> str:
        """For example "PBE, plane waves to 400 eV, 4x4x4 k-points, Gamma-centred (GPAW)"."""
        text = f"{self.functional}, plane waves to {self.cutoff_eV:g} eV, {self.k_words}"
        setups = [f", {name} setup {which}" for name, which in sorted(self.setups.items())]
        return "".join([text, self.occupation_words, *setups]) + " (GPAW)"

    def check(self, structure: Structure) -> None:
        """Refuse what has no cell or no k-points, and impossible spins."""
        self.check_cell(structure)
        self.check_electrons(structure, n_electrons=int(structure.numbers.sum()))

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write `input.json`."""
        mesh = self.mesh(structure)
        wanted = {
            "numbers": structure.numbers.tolist(),
            "positions": structure.positions.tolist(),
            "cell": self.cell(structure).tolist(),
            "charge": structure.charge,
            "polarized": self.polarized(structure),
            "moments": self._moments(structure),
            "occupations": self._occupations(structure),
            # what GPAW calls not centred on Gamma lies off it along odd directions too
            "k_points": {"size": mesh.size, **({"gamma": True} if mesh.kind == GAMMA else {})},
            "stress": bool(structure.pbc.all()),
            "settings": asdict(self),
        }
        (directory / _INPUT).write_text(json.dumps(wanted, indent=1) + "\n")

    def _moments(self, structure: Structure) -> list[float]:
        """Moments to begin with, Bohr magnetons, one per atom."""
        if self.spin == FREE:
            symbols = [chemical_symbols[number] for number in structure.numbers]
            return [float(self.starting_magnetization.get(symbol, 0.0)) for symbol in symbols]
        return [(structure.multiplicity - 1) / len(structure)] * len(structure)

    def _occupations(self, structure: Structure) -> dict[str, Any]:
        fixed = self.polarized(structure) and self.spin != FREE
        moment = {"fixmagmom": True} if fixed else {}
        width = self.smearing_width_eV
        if self.smearing == NO_SMEARING:  # the lowest states of every k-point, as in other codes
            return {"name": "fixed-uniform"}
        if self.smearing in ("gaussian", "methfessel-paxton"):  # the Gaussian is order 0
            order = int(self.smearing == "methfessel-paxton")
            return {"name": "methfessel-paxton", "width": width, "order": order, **moment}
        return {"name": self.smearing, "width": width, **moment}

    def command(self, directory: Path) -> list[str]:
        """A Python process that runs `run_gpaw.py`, by its path: it may be another environment."""
        # neither the folder of the script nor, elsewhere, our packages may be looked into
        python = [self.python, "-I"] if self.python else [sys.executable, "-P"]
        threads = f"OMP_NUM_THREADS={self.threads}"
        return ["env", threads, *python, str(_SCRIPT), str(directory.resolve())]

    def explain(self, directory: Path) -> Failure | None:
        """A missing setup, or the exception that ended the run."""
        log = _text(directory / LOG)
        missing = _NO_SETUP.search(log)
        if missing:
            return failed(FailureCause.BAD_INPUT, f"GPAW: {missing.group()}")
        exceptions = _EXCEPTION.findall(log)
        if not exceptions:
            return None
        # an exception before the first iteration is about what was asked for
        begun = "|iter:" in _text(directory / "gpaw.txt")
        cause = ran_out_of(log) or (FailureCause.CRASHED if begun else FailureCause.BAD_INPUT)
        return failed(cause, f"GPAW stopped: {exceptions[-1]}")

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read `output.json`."""
        path = directory / _OUTPUT
        if not path.is_file():
            return failed(FailureCause.CRASHED, "GPAW ended without writing a result")
        found = json.loads(path.read_text())
        if not found["converged"]:
            message = f"the SCF did not converge in {found['iterations']} iterations"
            return failed(FailureCause.NOT_CONVERGED, message)
        stress = found["stress"]
        label = Label(
            structure=self.returned(
                structure,
                numbers=np.array(found["numbers"], dtype=np.int64),
                positions=np.array(found["positions"]),
                cell=np.array(found["cell"]),
            ),
            energy=found["energy"],
            forces=np.array(found["forces"]),
            stress=None if stress is None else np.array(stress),
            level=self.level,
            directory=str(directory),
            seconds=0.0,
            host="",
            details=self._details(structure, found),
        )
        return verify(structure, label)

    def _details(self, structure: Structure, found: Mapping[str, Any]) -> dict[str, Any]:
        smeared = self.smearing != NO_SMEARING
        reported = {key: value for key, value in found.items() if key not in _RESULTS}
        details = reported | {
            "converged": True,
            "energy_kind": "free energy, -TS included" if smeared else "total energy",
            "k_points": str(self.mesh(structure)),
            "spin_polarized": self.polarized(structure),
            "charge": structure.charge,
        }
        if structure.pbc.all():
            details["stress_convention"] = STRESS_CONVENTION
        if not structure.pbc.any():
            details["box_A"] = self.box_A
        return details

    def remedies(self) -> tuple[Remedy, ...]:
        """Mix less, with the older mixer; then also solve for the orbitals more thoroughly."""
        steps = 3 * self.max_steps
        less = replace(self, mixer="pulay", mixing_beta=0.02, max_steps=steps)
        thorough = replace(less, eigensolver="davidson", mixing_beta=0.01)
        return (
            Remedy(f"Pulay mixing 0.02 and {steps} steps", less),
            Remedy(f"Pulay mixing 0.01, Davidson's method and {steps} steps", thorough),
        )


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""

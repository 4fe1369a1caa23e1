"""FHI-aims: crystals and molecules, all electrons, through ASE's writer and reader of its files.

The energy is the electronic free energy (the -TS of its occupations is in it), the one that forces
and stress are the derivatives of. Every label starts from free atoms.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.io import ParseError
from ase.io.aims import AimsParseError, read_aims_output, write_aims, write_control

from bnnflow.errors import ConfigError, ReferenceError
from bnnflow.records import Failure, FailureCause, Label, Structure
from bnnflow.reference.base import Remedy
from bnnflow.reference.checks import failed, verify
from bnnflow.reference.evidence import LOG
from bnnflow.reference.exchange import STRESS_CONVENTION
from bnnflow.reference.periodic import FREE, NO_SMEARING, Periodic
from bnnflow.reference.room import ran_out_of

_CONVERGED, _FINISHED = "Self-consistency cycle converged.", "Have a nice day."
_STOPPED = ("SCF cycle not converged", "SELF-CONSISTENCY CYCLE DID NOT CONVERGE")
_ERROR = re.compile(r"^\s*\*{1,3}\s*((?:Error|Stop|Unknown|Species|Keyword)[^\n]*)", re.M | re.I)
_OCCUPATIONS = {"fermi-dirac": "fermi", "gaussian": "gaussian"}


@dataclass(frozen=True, kw_only=True)
class AimsReference(Periodic):
    """FHI-aims. Besides the settings of `Periodic`, of which box_A is not needed:

    functional: aims' xc; species_folder: its species defaults, down to the folder with one file per
    element (.../defaults_2020/light); relativistic: as aims has it; conv_density: electrons;
    conv_forces_eV_per_A: 0 for aims' own; mixing_beta: 0 for aims' own; max_steps: SCF iterations;
    extra: further keywords. Without smearing aims takes a Gaussian of 0.01 eV.
    """

    species_folder: str
    functional: str = "pbe"
    relativistic: str = "atomic_zora scalar"
    conv_density: float = 1e-5
    conv_forces_eV_per_A: float = 0.0
    mixing_beta: float = 0.0
    max_steps: int = 200
    extra: Mapping[str, Any] = field(default_factory=dict)
    executable: str = "aims.x"

    smearings: ClassVar[tuple[str, ...]] = ("gaussian", "methfessel-paxton", "fermi-dirac")
    scratch: ClassVar[tuple[str, ...]] = ("*.restart*", "*.csc")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.conv_density <= 0 or self.max_steps < 1:
            raise ConfigError("aims: conv_density and max_steps must be > 0")

    @property
    def level(self) -> str:
        """For example "pbe/light, atomic_zora scalar, 4x4x4 k-points, Gamma-centred (FHI-aims)"."""
        basis = Path(self.species_folder).name
        text = f"{self.functional}/{basis}, {self.relativistic}, {self.k_words}"
        more = [f", {key}={value}" for key, value in sorted(self.extra.items())]
        return "".join([text, self.occupation_words, *more]) + " (FHI-aims)"

    def check(self, structure: Structure) -> None:
        """Refuse crystals without k-points, elements without a species file, impossible spins."""
        if structure.pbc.any():
            self.check_cell(structure)
        for number in dict.fromkeys(structure.numbers.tolist()):
            path = self._species(number)
            if not path.is_file():
                raise ReferenceError(
                    f"aims: there is no {path}: correct species_folder, down to the folder that "
                    "has one file per element"
                )
        self.check_electrons(structure, n_electrons=int(structure.numbers.sum()))

    def _species(self, number: int) -> Path:
        return Path(self.species_folder) / f"{number:02d}_{chemical_symbols[number]}_default"

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write `geometry.in` and `control.in`."""
        atoms = structure.to_atoms()
        atoms.set_initial_magnetic_moments(self._moments(structure))
        parameters = {**self._parameters(structure), **self.extra}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # these functions are to move elsewhere
            write_aims(directory / "geometry.in", atoms)
            write_control(directory / "control.in", atoms, parameters)

    def _parameters(self, structure: Structure) -> dict[str, Any]:
        found: dict[str, Any] = {
            "xc": self.functional,
            "relativistic": self.relativistic,
            "charge": float(structure.charge),
            "sc_accuracy_rho": self.conv_density,
            "sc_iter_limit": self.max_steps,
            "compute_forces": True,
            "species_dir": self.species_folder,
        }
        if self.conv_forces_eV_per_A:
            found["sc_accuracy_forces"] = self.conv_forces_eV_per_A
        if self.mixing_beta:
            found |= {"mixer": "pulay", "charge_mix_param": self.mixing_beta}
        if self.smearing != NO_SMEARING:
            found["occupation_type"] = self._occupation()
        found |= self._spin(structure)
        return found | (self._periodic(structure) if structure.pbc.any() else {})

    def _occupation(self) -> str:
        if self.smearing == "methfessel-paxton":
            return f"methfessel-paxton {self.smearing_width_eV} 1"
        return f"{_OCCUPATIONS[self.smearing]} {self.smearing_width_eV}"

    def _spin(self, structure: Structure) -> dict[str, Any]:
        if not self.polarized(structure):
            return {"spin": "none"}
        fixed = {"fixed_spin_moment": float(structure.multiplicity - 1)}
        return {"spin": "collinear", **({} if self.spin == FREE else fixed)}

    def _periodic(self, structure: Structure) -> dict[str, Any]:
        """Aims' mesh contains Gamma; the offset is in reciprocal vectors."""
        mesh = self.mesh(structure)
        pairs = zip(mesh.shifts, mesh.size, strict=True)
        stress = {"compute_analytical_stress": True} if structure.pbc.all() else {}
        offset = [shift * 0.5 / number for shift, number in pairs]
        return {"k_grid": mesh.size, "k_offset": tuple(offset), **stress}

    def _moments(self, structure: Structure) -> list[float]:
        """Moments to begin with, Bohr magnetons, one per atom."""
        if self.spin == FREE:
            symbols = [chemical_symbols[number] for number in structure.numbers]
            return [float(self.starting_magnetization.get(symbol, 0.0)) for symbol in symbols]
        return [(structure.multiplicity - 1) / len(structure)] * len(structure)

    def command(self, directory: Path) -> list[str]:  # noqa: ARG002
        """Aims over the ranks of its launcher; it reads the files of the folder it runs in."""
        return ["env", f"OMP_NUM_THREADS={self.threads}", self.executable]

    def explain(self, directory: Path) -> Failure | None:
        """What aims printed before it stopped."""
        text = (directory / LOG).read_text(errors="replace")
        if any(sign in text for sign in _STOPPED):
            return self._unconverged()
        error = _ERROR.search(text)
        if error is None:
            return None
        cause = ran_out_of(text) or FailureCause.BAD_INPUT
        return failed(cause, f"FHI-aims stopped: {' '.join(error.group(1).split())}")

    def _unconverged(self) -> Failure:
        message = f"the SCF did not converge in {self.max_steps} iterations"
        return failed(FailureCause.NOT_CONVERGED, message)

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read the printout; aims may end well without convergence."""
        text = (directory / LOG).read_text(errors="replace")
        if any(sign in text for sign in _STOPPED):
            return self._unconverged()
        if _CONVERGED not in text or _FINISHED not in text:
            return failed(FailureCause.CRASHED, f"FHI-aims ended without {_FINISHED!r}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                atoms: Atoms = read_aims_output(directory / LOG, non_convergence_ok=True)
        except (ParseError, AimsParseError, ValueError, IndexError) as error:
            return failed(FailureCause.CRASHED, f"the output of FHI-aims cannot be read: {error}")
        return self._label(structure, atoms, text, directory)

    def _label(
        self, structure: Structure, atoms: Atoms, text: str, directory: Path
    ) -> Label | Failure:
        results = atoms.calc.results
        wanted = ["energy", "forces", *(["stress"] if structure.pbc.all() else [])]
        missing = [name for name in wanted if results.get(name) is None]
        if missing:
            message = f"FHI-aims printed no {', '.join(missing)}"
            return failed(FailureCause.CRASHED, message)
        atoms.pbc = structure.pbc  # aims knows crystals and molecules alone
        back = {"charge": structure.charge, "multiplicity": structure.multiplicity}
        label = Label(
            structure=Structure.from_atoms(atoms, **back),
            energy=float(results["free_energy"]),
            forces=np.asarray(results["forces"], dtype=np.float64),
            stress=np.asarray(results["stress"]) if structure.pbc.all() else None,
            level=self.level,
            directory=str(directory),
            seconds=0.0,
            host="",
            details=self._details(structure, results, text),
        )
        return verify(structure, label)

    def _details(
        self, structure: Structure, results: Mapping[str, Any], text: str
    ) -> dict[str, Any]:
        version = re.search(r"(?:FHI-aims version|Version)\s*:?\s+(\S+)", text)
        steps = re.search(r"\| Number of self-consistency cycles\s*:\s*(\d+)", text)
        details: dict[str, Any] = {
            "code": "FHI-aims",
            "version": version.group(1) if version else "",
            "converged": True,
            "iterations": int(steps.group(1)) if steps else None,
            "energy_kind": "free energy, -TS included",
            "spin_polarized": self.polarized(structure),
            "magnetization": float(results.get("magmom") or 0.0),
            "charge": structure.charge,
        }
        if structure.pbc.any():
            details["k_points"] = str(self.mesh(structure))
        if structure.pbc.all():
            details["stress_convention"] = STRESS_CONVENTION
        return details

    def remedies(self) -> tuple[Remedy, ...]:
        """Mix less, then little, over more iterations."""
        steps = 3 * self.max_steps
        return tuple(
            Remedy(
                f"Pulay mixing {beta:g} and {steps} steps",
                replace(self, mixing_beta=beta, max_steps=steps),
            )
            for beta in (0.05, 0.01)
        )

"""ORCA: molecules, through ASE's writer and reader of its files.

ORCA starts its own MPI ranks, so no launcher is put in front of it. Every label starts from ORCA's
own guess unless `restart` is on.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from ase.io import ParseError
from ase.io.orca import read_orca_output, write_orca

from bnnflow.errors import ConfigError, StructureError
from bnnflow.records import Failure, FailureCause, Label, Structure
from bnnflow.reference.base import Plain, Remedy
from bnnflow.reference.checks import check_spin, failed, verify
from bnnflow.reference.evidence import LOG
from bnnflow.reference.room import ran_out_of

_INPUT, _ORBITALS, _START = "orca.inp", "orca.gbw", "start.gbw"
_STEPS = re.compile(r"SCF CONVERGED AFTER\s+(\d+) CYCLES")
_STOPPED = re.compile(r"SCF NOT CONVERGED AFTER\s+(\d+) CYCLES")
_WRONG_INPUT = re.compile(
    r"UNRECOGNIZED OR DUPLICATED KEYWORD\(S\) IN SIMPLE INPUT LINE\s*\n\s*([^\n]*)"
    r"|(?:INPUT ERROR|Invalid assignment)[^\n]*"
)


@dataclass(frozen=True, kw_only=True)
class ORCAReference(Plain):
    """ORCA; unrestricted for multiplicities above 1.

    method, basis: as ORCA names them; keywords, blocks: further words of the simple input, further
    blocks, both part of the level of theory; convergence: TightSCF and the like; scf_keywords: of
    the way to the solution; max_steps: SCF iterations; ranks: MPI processes that ORCA starts;
    memory_MB: per rank; restart: begin with the orbitals of the label before.
    """

    method: str
    basis: str
    keywords: str = ""
    blocks: str = ""
    convergence: str = "TightSCF"
    scf_keywords: str = ""
    max_steps: int = 125
    ranks: int = 1
    memory_MB: int = 2000
    restart: bool = False
    executable: str = "orca"

    isolated: ClassVar[bool] = True
    has_stress: ClassVar[bool] = False
    scratch: ClassVar[tuple[str, ...]] = (_ORBITALS, "*.tmp*", "*.densities*")

    def __post_init__(self) -> None:
        if min(self.max_steps, self.ranks, self.memory_MB) < 1:
            raise ConfigError("orca: max_steps, ranks and memory_MB must be at least 1")

    @property
    def level(self) -> str:
        """For example "B3LYP/def2-SVP, D3BJ (ORCA)"."""
        more = [text for text in (self.keywords, " ".join(self.blocks.split())) if text]
        return ", ".join([f"{self.method}/{self.basis}", *more]) + " (ORCA)"

    @property
    def restart_files(self) -> tuple[str, ...]:  # type: ignore[override]
        """The orbitals, if they are wanted."""
        return (_START,) if self.restart else ()

    def check(self, structure: Structure) -> None:
        """Refuse periodic structures and impossible spins."""
        if structure.pbc.any():
            raise StructureError(
                "the orca engine calculates molecules, but the structure is periodic: "
                "set pbc to false or use another reference"
            )
        check_spin(structure, n_electrons=int(structure.numbers.sum()))

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write `orca.inp`."""
        restarted = (directory / _START).is_file()
        words = [self.method, self.basis, "EnGrad", self.convergence]
        words += [self.keywords, self.scf_keywords, "MORead" if restarted else ""]
        blocks = [f"%maxcore {self.memory_MB}", f"%scf MaxIter {self.max_steps} end"]
        blocks += [f"%pal nprocs {self.ranks} end"] if self.ranks > 1 else []
        blocks += [f'%moinp "{_START}"'] if restarted else []
        blocks += [self.blocks] if self.blocks else []
        parameters = {
            "charge": structure.charge,
            "mult": structure.multiplicity,
            "orcasimpleinput": " ".join(word for word in words if word),
            "orcablocks": "\n".join(blocks),
        }
        write_orca(directory / _INPUT, structure.to_atoms(), parameters)

    def command(self, directory: Path) -> list[str]:  # noqa: ARG002
        """ORCA by its full path, without which it starts no ranks."""
        return [shutil.which(self.executable) or self.executable, _INPUT]

    def explain(self, directory: Path) -> Failure | None:
        """What ORCA printed before it stopped."""
        text = (directory / LOG).read_text(errors="replace")
        stopped = _unconverged(text)
        if stopped is not None:
            return stopped
        wrong = _WRONG_INPUT.search(text)
        if wrong is None:
            return None
        message = f"ORCA: {' '.join(wrong.group().split())}"
        return failed(ran_out_of(text) or FailureCause.BAD_INPUT, message)

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read the printout."""
        text = (directory / LOG).read_text(errors="replace")
        stopped = _unconverged(text)
        if stopped is not None:
            return stopped
        steps = _STEPS.search(text)
        try:
            atoms: Atoms = read_orca_output(directory / LOG, index=-1)
        except (ParseError, ValueError, IndexError) as error:
            return failed(FailureCause.CRASHED, f"the output of ORCA cannot be read: {error}")
        energy, forces = atoms.calc.results.get("energy"), atoms.calc.results.get("forces")
        if energy is None or forces is None or steps is None:
            message = "ORCA ended without energy, gradient and 'SCF CONVERGED' in its output"
            return failed(FailureCause.CRASHED, message)
        back = {"charge": structure.charge, "multiplicity": structure.multiplicity}
        label = Label(
            structure=Structure.from_atoms(atoms, **back),
            energy=float(energy),
            forces=np.asarray(forces, dtype=np.float64),
            stress=None,
            level=self.level,
            directory=str(directory),
            seconds=0.0,
            host="",
            details=_details(text, int(steps.group(1))),
        )
        if self.restart and (directory / _ORBITALS).is_file():
            (directory / _ORBITALS).replace(directory / _START)
        return verify(structure, label)

    def remedies(self) -> tuple[Remedy, ...]:
        """Damp, then damp more, with more iterations."""
        steps = 3 * self.max_steps
        slow = replace(self, scf_keywords="SlowConv", max_steps=steps)
        slower = replace(self, scf_keywords="VerySlowConv", max_steps=steps)
        return (
            Remedy(f"SlowConv and {steps} cycles", slow),
            Remedy(f"VerySlowConv and {steps} cycles", slower),
        )


def _unconverged(text: str) -> Failure | None:
    stopped = _STOPPED.search(text)
    if stopped is None and "Wavefunction not fully converged" not in text:
        return None
    steps = stopped.group(1) if stopped else "an unknown number of"
    message = f"the SCF did not converge in {steps} iterations"
    return failed(FailureCause.NOT_CONVERGED, message)


def _details(text: str, steps: int) -> dict[str, Any]:
    version = re.search(r"Program Version\s+(\S+)", text)
    spin = re.search(r"Expectation value of <S\*\*2>\s*:\s*(-?\d+\.\d+)", text)
    return {
        "code": "ORCA",
        "version": version.group(1) if version else "",
        "converged": True,
        "iterations": steps,
        "energy_kind": "total energy",
        **({"spin_square": float(spin.group(1))} if spin else {}),
    }

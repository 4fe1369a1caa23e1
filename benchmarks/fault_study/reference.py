"""GFN2-xTB behind the engine `ase`, which goes wrong at some calls: what `faults.py` labels with.

A file says which calls and how: {"fault": NAME, "calls": [N]}; a file beside it counts the calls.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, ClassVar

from ase.calculators.calculator import SCFError
from tblite.ase import TBLite

CALCULATOR = "fault_study.reference.FaultyXTB"


def plan(path: Path, fault: str = "", *calls: int) -> None:
    """Arm a fault, or none, and count calls from zero."""
    path.write_text(json.dumps({"fault": fault, "calls": calls}))
    path.with_suffix(".calls").write_bytes(b"")


def calls_of(path: Path) -> int:
    """How often the reference was asked since it was armed."""
    return path.with_suffix(".calls").stat().st_size


class FaultyXTB(TBLite):  # type: ignore[misc]
    """tblite's calculator; armed: the file that `plan` wrote."""

    implemented_properties: ClassVar[list[str]] = [*TBLite.implemented_properties, "free_energy"]

    def __init__(self, armed: str) -> None:
        super().__init__(method="GFN2-xTB", verbosity=0)
        self.armed = Path(armed)

    def calculate(self, atoms: Any = None, *arguments: Any, **keywords: Any) -> None:
        """Calculate, or go wrong."""
        fault = self._due()
        if fault == "not_converged":
            raise SCFError("injected")
        if fault == "hang":
            time.sleep(3600.0)
        if fault == "full_disk":
            with open("scratch", "wb") as file:
                while True:  # until there is no space left on the device
                    file.write(bytes(2**16))
                    file.flush()
        if fault == "other_geometry":
            atoms = atoms.copy()
            atoms.positions[0, 0] += 0.01
        super().calculate(atoms, *arguments, **keywords)

    def _due(self) -> str:
        number = calls_of(self.armed)
        with self.armed.with_suffix(".calls").open("ab") as file:
            file.write(b".")
        armed = json.loads(self.armed.read_text())
        return str(armed["fault"]) if number in armed["calls"] else ""

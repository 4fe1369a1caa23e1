"""Any ASE calculator, named by its import path."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bnnflow.errors import ConfigError, ReferenceError, StructureError
from bnnflow.records import Failure, Label, Structure
from bnnflow.reference.base import Plain
from bnnflow.reference.exchange import calculate, parse_output, python_command, write_input


@dataclass(frozen=True)
class ASEReference(Plain):
    """An ASE calculator made as `calculator(**arguments)`, in a process of its own by default.

    calculator: import path of a class or function, "package.module.Name"; arguments: plain values
    (paths among them absolute, since the calculator runs inside the label's folder); level: level
    of theory in words; charge_argument, multiplicity_argument: names of the calculator's arguments
    that take the structure's charge and multiplicity, "" when it has none.
    Without isolation there is no time limit and the calculator must not write files.
    """

    calculator: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    level: str = ""
    isolated: bool = True
    threads: int = 1
    charge_argument: str = ""
    multiplicity_argument: str = ""

    def __post_init__(self) -> None:
        import_calculator(self.calculator)
        if not self.level:
            object.__setattr__(self, "level", f"ASE calculator {self.calculator}")
        if self.threads < 1:
            raise ConfigError(f"ase: threads is {self.threads}, expected at least 1")
        try:
            json.dumps(dict(self.arguments))
        except TypeError as error:
            raise ConfigError(f"ase: arguments must be plain values ({error})") from error

    @property
    def has_stress(self) -> bool:
        """Whether the calculator's class promises a stress."""
        maker = import_calculator(self.calculator)
        return "stress" in getattr(maker, "implemented_properties", ())

    def check(self, structure: Structure) -> None:
        """Refuse a charge or a spin that the calculator would never be told of."""
        if structure.charge != 0 and not self.charge_argument:
            raise StructureError(
                f"the structure has charge {structure.charge}, but the calculator is not told: "
                "name its argument in charge_argument"
            )
        if structure.multiplicity != 1 and not self.multiplicity_argument:
            raise StructureError(
                f"the structure has multiplicity {structure.multiplicity}, but the calculator is "
                "not told: name its argument in multiplicity_argument"
            )

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write the structure and the settings."""
        write_input(structure, asdict(self), directory)

    def command(self, directory: Path) -> list[str]:
        """A Python process that runs `run_ase`."""
        return python_command("bnnflow.reference.run_ase", directory, threads=self.threads)

    def run(self, directory: Path) -> None:
        """The same inside this process."""
        from bnnflow.reference.run_ase import compute

        calculate(compute, directory)

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read the result."""
        return parse_output(structure, directory, level=self.level)


def import_calculator(path: str) -> Callable[..., Any]:
    """The class or function at an import path.

    Raises ReferenceError when it cannot be imported.
    """
    module, _, name = path.rpartition(".")
    try:
        maker = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ReferenceError(
            f"calculator {path!r} cannot be imported ({error}): give package.module.Name of an "
            "installed ASE calculator"
        ) from error
    if not callable(maker):
        raise ReferenceError(f"calculator {path!r} is {maker!r}, expected a class or function")
    return maker  # type: ignore[no-any-return]

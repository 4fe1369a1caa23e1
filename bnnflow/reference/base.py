"""What a reference code must be able to do."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, runtime_checkable

from bnnflow.records import Failure, Label, Structure


class Reference(Protocol):
    """A reference code with its settings: prepare a directory, say the command, parse the result.

    level: level of theory in words, written into every label; isolated: whether it runs as a
    process of its own, which alone can be timed out; has_stress: whether it is known to give the
    stress of a periodic structure.
    """

    @property
    def level(self) -> str: ...

    @property
    def isolated(self) -> bool: ...

    @property
    def has_stress(self) -> bool: ...

    def check(self, structure: Structure) -> None:
        """Refuse early what the code cannot calculate.

        Raises StructureError for the atoms, ReferenceError for a method the code does not know.
        """

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write the input into an existing empty directory."""

    def command(self, directory: Path) -> list[str]:
        """The command that calculates what lies in the directory, to be run inside it."""

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read what the code left behind after it ended with exit code 0.

        structure: what was asked for. Not converged, another geometry than this one and numbers
        that are not finite are Failures (`checks.verify`), never labels.
        """


@runtime_checkable
class InProcess(Protocol):
    """A reference that can also run inside the calling process, without a time limit."""

    def run(self, directory: Path) -> None:
        """Calculate what lies in the directory, as `command` would."""

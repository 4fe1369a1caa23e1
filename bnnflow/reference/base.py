"""What a reference code must be able to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

from bnnflow.records import Failure, Label, Structure


@dataclass(frozen=True)
class Remedy:
    """Another way to the same self-consistent solution, for when the usual one does not get there.

    name: what is done differently, in words; reference: the code with that, at the same level;
    start: a calculation before it, at any level, whose `restart_files` it begins with.
    """

    name: str
    reference: Reference
    start: Reference | None = None


class Reference(Protocol):
    """A reference code with its settings: prepare a directory, say the command, parse the result.

    level: level of theory in words, written into every label; isolated: whether it runs as a
    process of its own, which alone can be timed out; has_stress: whether it is known to give the
    stress of a periodic structure; parallel: whether its command is an MPI program, which the
    site's launcher starts; scratch: patterns of files that are deleted once a label is good;
    restart_files: names of files that, laid into the directory of the next label before `prepare`,
    are its starting guess (kept until then).
    """

    @property
    def level(self) -> str: ...

    @property
    def isolated(self) -> bool: ...

    @property
    def has_stress(self) -> bool: ...

    @property
    def parallel(self) -> bool: ...

    @property
    def scratch(self) -> tuple[str, ...]: ...

    @property
    def restart_files(self) -> tuple[str, ...]: ...

    def check(self, structure: Structure) -> None:
        """Refuse early what the code cannot calculate.

        Raises StructureError for the atoms, ReferenceError for a method the code does not know.
        """

    def prepare(self, structure: Structure, directory: Path) -> None:
        """Write the input into an existing directory, empty but for `restart_files`."""

    def command(self, directory: Path) -> list[str]:
        """The command that calculates what lies in the directory, to be run inside it.

        Without the launcher of MPI programs, which is put in front of it.
        """

    def explain(self, directory: Path) -> Failure | None:
        """Why the command ended with another exit code than 0, None when its files do not say.

        NOT_CONVERGED for what a remedy may cure.
        """

    def parse(self, structure: Structure, directory: Path) -> Label | Failure:
        """Read what the code left behind after it ended with exit code 0.

        structure: what was asked for. Not converged, another geometry than this one and numbers
        that are not finite are Failures (`checks.verify`), never labels.
        """

    def remedies(self) -> tuple[Remedy, ...]:
        """What to try, in this order, when the self-consistent field does not converge.

        Each changes how the solution is sought, never the level of theory.
        """


class Plain:
    """What most small codes have in common: one process, nothing big left, one way to converge."""

    parallel: ClassVar[bool] = False
    scratch: ClassVar[tuple[str, ...]] = ()
    restart_files: ClassVar[tuple[str, ...]] = ()

    def explain(self, directory: Path) -> Failure | None:  # noqa: ARG002
        """Nothing but the exit code."""
        return None

    def remedies(self) -> tuple[Remedy, ...]:
        """None."""
        return ()


@runtime_checkable
class InProcess(Protocol):
    """A reference that can also run inside the calling process, without a time limit."""

    def run(self, directory: Path) -> None:
        """Calculate what lies in the directory, as `command` would."""

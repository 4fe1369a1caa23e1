"""What VASP prints before it stops, and what it means.

The messages are VASP's own; many runs print them and still end with exit code 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bnnflow.records import Failure, FailureCause
from bnnflow.reference.checks import failed
from bnnflow.reference.evidence import LOG
from bnnflow.reference.room import ran_out_of

_TAIL_BYTES = 200_000
_NOT_CONVERGED, _CRASHED, _BAD_INPUT = (
    FailureCause.NOT_CONVERGED,
    FailureCause.CRASHED,
    FailureCause.BAD_INPUT,
)


@dataclass(frozen=True)
class Sign:
    """A message, as a regular expression; the cause it stands for; and what to do."""

    pattern: str
    cause: FailureCause
    advice: str


SIGNS: tuple[Sign, ...] = (
    Sign(r"Error ED[A-Z]+: call to ZHEGV failed", _NOT_CONVERGED, "its eigensolver failed"),
    Sign(r"BRMIX: very serious problems", _NOT_CONVERGED, "the charge density lost electrons"),
    Sign(r"ZPOTRF failed", _NOT_CONVERGED, "its orbitals became linearly dependent"),
    Sign(r"ERROR in subspace rotation|PSSYEVX|Sub-Space-Matrix is not hermitian in the final",
         _NOT_CONVERGED, "its subspace rotation failed"),
    Sign(r"while reading WAVECAR|could not be read from file CHGCAR|dimensions on CHGCAR file are "
         r"different", _NOT_CONVERGED, "the files to start from do not fit"),
    Sign(r"number of potentials on file POTCAR incompatible|type information on POSCAR and POTCAR "
         r"are incompatible", _BAD_INPUT, "POTCAR and POSCAR hold other species"),
    Sign(r"TOO FEW BANDS", _BAD_INPUT, "set incar.NBANDS"),
    Sign(r"Tetrahedron method fails|needs at least \d+ k-points", _BAD_INPUT,
         "set ismear to 0, or take more k-points"),
    Sign(r"REAL_OPT\w*: internal error|ERROR RSPHER", _BAD_INPUT, "set incar.LREAL to false"),
    Sign(r"Error reading item|error while reading .*INCAR", _BAD_INPUT,
         "a tag of incar or incar_template is not understood"),
    Sign(r"triple product of the basis vectors is negative", _BAD_INPUT, "the cell is left-handed"),
    Sign(r"(internal|fatal) error in (subroutine )?(IBZKPT|PRICEL|SGRCON|INVGRP)"
         r"|POSMAP internal error|inverse of rotation matrix was not found", _CRASHED,
         "its search for symmetry failed: set incar.ISYM to 0"),
    Sign(r"hard stop (encountered|was set)", _CRASHED, "a STOPCAR ended it"),
    Sign(r"SIGSEGV|segmentation fault", _CRASHED,
         "segmentation fault: allow a larger stack (ulimit -s unlimited), or more ranks"),
    Sign(r"could not access|not find an executable|processes failed to start"
         r"|execve\(\).*No such file|command not found",
         _BAD_INPUT,
         "the program was not found: correct program, or load its module in worker_init"),
    Sign(r"VERY BAD NEWS|internal error", _CRASHED, "an internal error of VASP"),
    Sign(r"I REFUSE TO CONTINUE", _BAD_INPUT, "VASP refuses this input"),
    Sign(r"ED[A-Z]+: call to ZHEGV failed", _NOT_CONVERGED, "its eigensolver warned before"),
)  # fmt: skip

_WARNINGS = re.compile(r"\bWARNING\b|ADVICE TO THIS USER|\bwarning:", re.IGNORECASE)
_SHOWN = 10


def explain(directory: Path) -> Failure | None:
    """Why VASP stopped, None when neither its log nor OUTCAR says."""
    text = "\n".join(_tail(path) for path in (directory / LOG, directory / "OUTCAR"))
    short = ran_out_of(text)
    if short is not None:
        return failed(short, f"VASP ran {str(short).replace('_', ' ')}: {_line_of_shortage(text)}")
    for sign in SIGNS:
        match = re.search(sign.pattern, text, re.IGNORECASE)
        if match:
            line = _line_at(text, match.start())
            return failed(sign.cause, f"VASP stopped, {sign.advice} ({line})")
    return None


def warnings_in(directory: Path) -> list[str]:
    """Warnings of the log and OUTCAR, each once, the first ten."""
    lines = (line for path in (directory / LOG, directory / "OUTCAR") for line in _lines(path))
    found = dict.fromkeys(_plain(line) for line in lines if _WARNINGS.search(line))
    return [line for line in found if line][:_SHOWN]


def species_refused(directory: Path) -> bool:
    """Whether VASP says that POSCAR and POTCAR do not fit; some versions go on regardless."""
    return any("POSCAR and POTCAR are incompatible" in line for line in _lines(directory / LOG))


def _line_of_shortage(text: str) -> str:
    return next((_plain(line) for line in text.splitlines()[::-1] if ran_out_of(line)), "")


def _line_at(text: str, position: int) -> str:
    start = text.rfind("\n", 0, position) + 1
    return _plain(text[start:].partition("\n")[0])


def _plain(line: str) -> str:
    return " ".join(line.strip(" |-*\n").split())[:160]


def _lines(path: Path) -> Iterator[str]:
    if path.is_file():
        with path.open(encoding="latin-1") as file:
            yield from file


def _tail(path: Path) -> str:
    """The end of a file that may be large, "" when there is none."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return file.read().decode("latin-1")

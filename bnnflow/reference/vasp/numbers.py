"""Numbers as Fortran writes them: run together, without the E of an exponent, or as asterisks."""

from __future__ import annotations

import re

import numpy as np

from bnnflow.records import FloatArray
from bnnflow.units import GPA

KILOBAR: float = 0.1 * GPA
"""1 kB, VASP's unit of stress, in eV/Å³."""

_EXPONENT = re.compile(r"(\d)([-+]\d{3})$")
_PIECE = re.compile(r"[-+]?\d+\.\d{8}|\*{3,}|nan", re.IGNORECASE)


def number(text: str) -> float:
    """One number; NaN for asterisks and anything else that is none."""
    try:
        return float(text)
    except ValueError:
        pass
    try:  # 0.27-111 stands for 0.27E-111
        return float(_EXPONENT.sub(r"\1E\2", text.strip()))
    except ValueError:
        return float("nan")


def row(text: str | None, length: int) -> list[float]:
    """A row of `length` numbers; columns that ran together are cut after eight decimals.

    Returns NaN in every place when the row cannot be read.
    """
    words = (text or "").split()
    if len(words) != length:
        words = _PIECE.findall(text or "")
    return [number(word) for word in words] if len(words) == length else [float("nan")] * length


def stress_from_kilobar(matrix: FloatArray) -> FloatArray:
    """Six Voigt components (eV/Å³, positive under tension) of VASP's (3, 3) kB, its negative."""
    symmetric = 0.5 * (matrix + matrix.T)
    voigt = symmetric[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return np.asarray(-KILOBAR * voigt)

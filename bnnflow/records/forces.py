"""The force criterion: what may not be exceeded where, and what was found of a frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ForceRegion:
    """Atoms whose force errors share a limit and a calibration.

    name: in status and report; atoms: indices in the structure; limit: K of the length of each
    atom's force error, eV/Å.
    """

    name: str
    atoms: tuple[int, ...]
    limit: float


@dataclass(frozen=True)
class ForceVerdict:
    """The force criterion at the atom of a frame that comes nearest to its limit, or beyond.

    atom: its index, or index of the nearest; std: predicted, of the length of its force error,
    eV/Å; limit: the largest that is trusted now, eV/Å; probability: that this atom's force error
    stays below K of its region, at least.
    """

    atom: int
    std: float
    limit: float
    probability: float

"""How many labels `sampler.schedule: rto` can take: it keeps their Jacobian in memory."""

from __future__ import annotations

from bnnflow.errors import SamplerError
from bnnflow.potentials import Potential
from bnnflow.records import Structure

GIB = 2**30
LARGEST_JACOBIAN = 8 * GIB
"""Bytes of one chain's Jacobian beyond which an update is refused; an update holds two or three."""
STRESSES = 6


def rows_per_frame(n_atoms: int, *, stress: bool) -> int:
    """Labelled numbers of one frame: energy, forces and, with `stress`, six stresses."""
    return 1 + 3 * n_atoms + (STRESSES if stress else 0)


def labels_that_fit(potential: Potential, structure: Structure, *, stress: bool) -> int:
    """Largest number of labels like `structure` whose Jacobian fits."""
    active = potential.active(tuple(sorted(set(structure.numbers.tolist()))))
    numbers = rows_per_frame(len(structure), stress=stress) * int(active.sum())
    return LARGEST_JACOBIAN // (numbers * potential.dtype.itemsize)


def check_size(*, rows: int, n_active: int, itemsize: int) -> int:
    """Bytes of a Jacobian (rows, n_active); raises SamplerError when it is too large."""
    size = rows * n_active * itemsize
    if size > LARGEST_JACOBIAN:
        raise SamplerError(
            f"the Jacobian of {rows} labelled numbers by {n_active} parameters takes "
            f"{size / GIB:.1f} GiB per chain, expected at most {LARGEST_JACOBIAN // GIB}: start a "
            "run with sampler.schedule published"
        )
    return size

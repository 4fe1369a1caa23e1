"""Meshes of k-points, stated the same way for every code.

Codes differ in what an even mesh means when nothing else is said: some contain Gamma, others lie
half a step off it. Here it is said, in every input and in every label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnnflow.errors import ConfigError
from bnnflow.records import FloatArray

GAMMA, MONKHORST_PACK = "gamma", "monkhorst-pack"
KINDS = (GAMMA, MONKHORST_PACK)


@dataclass(frozen=True)
class Mesh:
    """A regular mesh of k-points.

    size: points along the three reciprocal vectors; kind: "gamma" is centred on Gamma;
    "monkhorst-pack" is the mesh of Monkhorst and Pack (Phys. Rev. B 13, 5188, 1976, eq. 3), which
    along a direction with an even number of points lies half a step off Gamma.
    """

    size: tuple[int, int, int] = (1, 1, 1)
    kind: str = GAMMA

    @property
    def shifts(self) -> tuple[int, int, int]:
        """1 for each direction in which the mesh lies half a step off Gamma, else 0."""
        off = [int(self.kind == MONKHORST_PACK and not number % 2) for number in self.size]
        return (off[0], off[1], off[2])

    @property
    def points(self) -> FloatArray:
        """All points, (n, 3), in units of the reciprocal vectors, each in [0, 1)."""
        axes = [
            (np.arange(number) + shift / 2) / number
            for number, shift in zip(self.size, self.shifts, strict=True)
        ]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def __str__(self) -> str:
        """For example "4x4x1 k-points, off Gamma along 1 2"."""
        directions = [str(index + 1) for index, shift in enumerate(self.shifts) if shift]
        where = f"off Gamma along {' '.join(directions)}" if directions else "Gamma-centred"
        return f"{'x'.join(map(str, self.size))} k-points, {where}"


def mesh_by_spacing(cell: FloatArray, *, spacing_per_A: float, kind: str) -> Mesh:
    """The coarsest mesh whose steps are no longer than the spacing, 1/Å, 2π included.

    cell: (3, 3) Å, one vector per row.
    """
    lengths = 2.0 * np.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    # a length of exactly n steps is n points, whatever rounding says
    size = [max(1, math.ceil(length / spacing_per_A - 1e-9)) for length in lengths]
    return Mesh((size[0], size[1], size[2]), kind)


def check_mesh(size: Sequence[int], *, spacing_per_A: float, kind: str) -> None:
    """Refuse, with a ConfigError, what is no mesh."""
    if kind not in KINDS:
        raise ConfigError(f"k_mesh is {kind!r}, expected {' or '.join(KINDS)}")
    whole = all(isinstance(number, int) and number > 0 for number in size)
    if size and (len(size) != 3 or not whole):
        raise ConfigError(f"k_points is {list(size)}, expected three whole numbers above 0")
    if spacing_per_A < 0:
        raise ConfigError(f"k_spacing_per_A is {spacing_per_A:g}, expected a number above 0")
    if size and spacing_per_A:
        raise ConfigError("k_points and k_spacing_per_A are both given: keep one of them")

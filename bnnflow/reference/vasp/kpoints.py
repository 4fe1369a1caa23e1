"""Meshes of k-points: how many divisions, where the mesh is centred, and the KPOINTS file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnnflow.records import FloatArray

MESHES = {"gamma": "Gamma-centred", "monkhorst-pack": "Monkhorst-Pack"}
"""Option -> in words. A Monkhorst-Pack mesh with an even division leaves Gamma out there."""


@dataclass(frozen=True)
class Mesh:
    """divisions: along the three reciprocal vectors; kind: a key of `MESHES`."""

    divisions: tuple[int, int, int]
    kind: str = "gamma"

    @property
    def words(self) -> str:
        """For example "4x4x4 Gamma-centred k-points", which is what the label says."""
        if self.divisions == (1, 1, 1):
            return "Gamma point"
        return f"{'x'.join(map(str, self.divisions))} {MESHES[self.kind]} k-points"

    def text(self) -> str:
        """The KPOINTS file."""
        kind = "Gamma" if self.kind == "gamma" else "Monkhorst-Pack"
        numbers = " ".join(map(str, self.divisions))
        return f"{self.words}\n0\n{kind}\n{numbers}\n0 0 0\n"


def divisions_for(spacing: float, cell: FloatArray) -> tuple[int, int, int]:
    """Divisions that bring k-points to at most `spacing` (1/Å) of another, as KSPACING of VASP.

    N_i = max(1, ceil(|b_i| / spacing)), with a_i b_j = 2 pi delta_ij; cell: (3, 3) Å, rows a_i.
    """
    lengths = 2.0 * np.pi * np.linalg.norm(np.linalg.inv(cell).T, axis=1)
    first, second, third = (max(1, math.ceil(length / spacing - 1e-9)) for length in lengths)
    return first, second, third


def as_divisions(grid: Sequence[int]) -> tuple[int, int, int]:
    """A checked grid as a tuple."""
    first, second, third = grid
    return first, second, third

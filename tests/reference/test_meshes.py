"""Meshes of k-points against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import kptdensity2monkhorstpack
from ase.dft.kpoints import monkhorst_pack

from bnnflow.errors import ConfigError
from bnnflow.reference.meshes import Mesh, check_mesh, mesh_by_spacing


def modulo(points: np.ndarray) -> set[tuple[float, ...]]:
    return {tuple((np.round(point, 6) % 1.0).tolist()) for point in points}


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 4), (4, 4, 4), (1, 6, 5)])
def test_the_mesh_of_monkhorst_and_pack_is_ase_s(size: tuple[int, int, int]) -> None:
    found = Mesh(size, "monkhorst-pack").points
    assert len(found) == np.prod(size)
    assert modulo(found) == modulo(monkhorst_pack(size))


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 3, 4), (4, 4, 4)])
def test_the_other_mesh_contains_gamma(size: tuple[int, int, int]) -> None:
    found = Mesh(size).points
    assert len(modulo(found)) == np.prod(size)
    assert (0.0, 0.0, 0.0) in modulo(found)
    np.testing.assert_allclose(found * size, np.round(found * size), atol=1e-12)


def test_words() -> None:
    assert str(Mesh((4, 4, 1))) == "4x4x1 k-points, Gamma-centred"
    assert str(Mesh((4, 4, 1), "monkhorst-pack")) == "4x4x1 k-points, off Gamma along 1 2"
    assert str(Mesh((3, 3, 3), "monkhorst-pack")) == "3x3x3 k-points, Gamma-centred"


@pytest.mark.parametrize("spacing", [0.15, 0.3, 0.7])
def test_the_spacing_is_ase_s_density(spacing: float) -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.6).repeat((1, 2, 3))
    found = mesh_by_spacing(atoms.cell.array, spacing_per_A=spacing, kind="gamma")
    expected = kptdensity2monkhorstpack(atoms, kptdensity=1.0 / spacing, even=False)
    assert found.size == tuple(expected)


def test_a_step_of_exactly_the_spacing_is_allowed() -> None:
    cell = 2 * np.pi * np.eye(3)
    assert mesh_by_spacing(cell, spacing_per_A=0.1, kind="gamma").size == (10, 10, 10)


@pytest.mark.parametrize(
    ("size", "spacing", "kind", "message"),
    [
        ([4, 4], 0.0, "gamma", "three whole numbers"),
        ([4, 4, 0], 0.0, "gamma", "three whole numbers"),
        ([4, 4, 2.5], 0.0, "gamma", "three whole numbers"),
        ([4, 4, 4], 0.3, "gamma", "keep one"),
        ([], -0.3, "gamma", "above 0"),
        ([4, 4, 4], 0.0, "shifted", "gamma or monkhorst-pack"),
    ],
)
def test_what_is_no_mesh(size: list[int], spacing: float, kind: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_mesh(size, spacing_per_A=spacing, kind=kind)

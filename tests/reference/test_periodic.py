"""What the codes for crystals share: settings that make sense, cells, boxes and spins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bnnflow.errors import ConfigError, StructureError, UserError
from bnnflow.records import Structure
from bnnflow.reference.checks import geometry_difference
from bnnflow.reference.periodic import Periodic


class Settings(Periodic):
    """A code with two kinds of smearing."""

    smearings = ("gaussian", "fermi-dirac")


def crystal(water: Structure, pbc: tuple[bool, bool, bool] = (True, True, True)) -> Structure:
    return replace(water, cell=np.diag([5.0, 6.0, 14.0]), pbc=np.array(pbc))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smearing": "cold"}, "none, gaussian, fermi-dirac"),
        ({"smearing": "gaussian"}, "both smearing and smearing_width_eV"),
        ({"smearing_width_eV": 0.1}, "both smearing and smearing_width_eV"),
        ({"spin": "up"}, "multiplicity or free"),
        ({"spin": "free"}, "give both"),
        ({"starting_magnetization": {"H": 1.0}}, "give both"),
        ({"spin": "free", "starting_magnetization": {"H": 1.0}}, "needs smearing"),
        ({"box_A": -1.0}, "must be > 0"),
        ({"threads": 0}, "at least 1"),
        ({"k_points": [2, 2]}, "three whole numbers"),
    ],
)
def test_settings_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**options)


def test_a_mesh_has_one_point_where_nothing_repeats(water: Structure) -> None:
    settings = Settings(k_points=[3, 4, 5])
    assert settings.mesh(crystal(water)).size == (3, 4, 5)
    assert settings.mesh(crystal(water, (True, True, False))).size == (3, 4, 1)
    assert settings.mesh(water).size == (1, 1, 1)
    by_spacing = Settings(k_spacing_per_A=0.5, k_mesh="monkhorst-pack")
    assert by_spacing.mesh(crystal(water)).size == (3, 3, 1)
    assert str(by_spacing.mesh(crystal(water, (True, True, False)))).startswith("3x3x1")


def test_a_crystal_needs_k_points_and_volume(water: Structure) -> None:
    with pytest.raises(UserError, match="k_points or k_spacing_per_A"):
        Settings().check_cell(crystal(water))
    settings = Settings(k_points=[1, 1, 1])
    settings.check_cell(crystal(water))
    flat = replace(crystal(water), cell=np.diag([5.0, 6.0, 0.0]))
    with pytest.raises(StructureError, match="no volume"):
        settings.check_cell(flat)


def test_a_molecule_needs_room(water: Structure) -> None:
    with pytest.raises(StructureError, match="give box_A"):
        Settings().check_cell(water)
    with pytest.raises(StructureError, match=r"spans 1\.\d\d Å .* expected at least 6\.\d Å"):
        Settings(box_A=6.0).check_cell(water)
    Settings(box_A=7.0).check_cell(water)
    np.testing.assert_array_equal(Settings(box_A=7.0).cell(water), 7.0 * np.eye(3))


def test_multiplicity(water: Structure) -> None:
    smeared = {"smearing": "gaussian", "smearing_width_eV": 0.1}
    free = smeared | {"spin": "free", "starting_magnetization": {"O": 1.0}}
    ion = replace(water, charge=1)
    with pytest.raises(StructureError, match="correct charge or multiplicity"):
        Settings().check_electrons(ion, n_electrons=8)
    Settings().check_electrons(replace(ion, multiplicity=2), n_electrons=8)
    Settings(**smeared).check_electrons(ion, n_electrons=8)
    with pytest.raises(StructureError, match="correct charge or multiplicity"):
        Settings(**smeared).check_electrons(replace(ion, multiplicity=3), n_electrons=8)
    Settings(**free).check_electrons(ion, n_electrons=8)
    with pytest.raises(StructureError, match="but spin is free"):
        Settings(**free).check_electrons(replace(ion, multiplicity=2), n_electrons=8)
    assert Settings(**free).polarized(water)
    assert not Settings().polarized(water)


def test_the_box_comes_off_again(water: Structure) -> None:
    settings = Settings(box_A=8.0)
    parts = {"numbers": water.numbers, "positions": water.positions}
    back = settings.returned(water, **parts, cell=8.0 * np.eye(3))
    assert geometry_difference(water, back) == ""
    other = settings.returned(water, **parts, cell=8.1 * np.eye(3))
    assert "periodic directions" in geometry_difference(water, other)
    sent = crystal(water)
    assert geometry_difference(sent, settings.returned(sent, **parts, cell=sent.cell)) == ""
    strained = settings.returned(sent, **parts, cell=1.01 * sent.cell)
    assert "cell vector" in geometry_difference(sent, strained)
    slab = crystal(water, (True, True, False))
    assert geometry_difference(slab, settings.returned(slab, **parts, cell=slab.cell)) == ""

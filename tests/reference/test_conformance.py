"""Numbers that every electronic-structure code must get right, for each that is installed.

They are compared with the code's own printout, with finite differences of its energy, and between
one process and two ranks. `codes.CODES` are the codes; each test names in `proves` which column of
the table in docs/reference-codes.md it fills.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from codes import (
    CODES,
    MESH,
    STRUCTURES,
    Code,
    each_structure,
    every_code,
    every_code_slowly,
    good,
    reference_of,
    silicon,
    silylene,
)

from bnnflow.errors import UserError
from bnnflow.records import Failure, Label, LabelRequest
from bnnflow.reference import label
from bnnflow.reference.meshes import Mesh
from bnnflow.units import tensor_from_voigt

Run = Callable[..., Label | Failure]


@pytest.mark.proves("energy", "forces")
@each_structure
@every_code
def test_energy_and_forces_are_those_of_the_printout(code: Code, what: str, run: Run) -> None:
    found = good(run(code, STRUCTURES[what]))
    energy, forces = code.printed(Path(found.directory))
    assert found.energy == pytest.approx(energy, abs=code.digits[0])
    np.testing.assert_allclose(found.forces, forces, atol=code.digits[1])
    assert np.abs(forces).max() > 0.3
    assert found.details["energy_kind"] == "total energy"
    assert found.details["version"]
    assert found.details["iterations"] > 2


@pytest.mark.proves("forces")
@each_structure
@every_code_slowly
def test_forces_are_minus_the_slope(code: Code, what: str, run: Run) -> None:
    """Along the forces and a random direction, so that every component has its share."""
    structure, tight = STRUCTURES[what], {**code.converged, "launcher": ""}
    forces = good(run(code, structure, **tight)).forces
    random = np.random.default_rng(1).normal(size=forces.shape)
    direction = forces / np.linalg.norm(forces) + random / np.linalg.norm(random)
    step, ends = 0.01, []
    for sign in (step, -step):
        moved = replace(structure, positions=structure.positions + sign * direction)
        ends.append(good(run(code, moved, **tight)).energy)
    expected = -float(np.sum(forces * direction))
    assert abs(expected) > 0.2
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, abs=code.slopes[0])


@pytest.mark.proves("energy", "forces")
@every_code_slowly
def test_with_smearing_the_energy_is_the_one_of_the_forces(code: Code, run: Run) -> None:
    """The free energy: without -TS the slope along the forces is off by several 0.01 eV/Å."""
    smeared = {"smearing": "fermi-dirac", "smearing_width_eV": 0.8}
    structure, tight = silicon(), {**code.converged, **smeared, "launcher": ""}
    found = good(run(code, structure, **tight))
    assert found.details["energy_kind"] == "free energy, -TS included"
    direction = found.forces / np.linalg.norm(found.forces)
    step, ends = 0.01, []
    for sign in (step, -step):
        moved = replace(structure, positions=structure.positions + sign * direction)
        ends.append(good(run(code, moved, **tight)).energy)
    expected = -float(np.sum(found.forces * direction))
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, abs=code.slopes[0])


@pytest.mark.proves("stress")
@pytest.mark.parametrize("seed", [1, 2])
@every_code_slowly
def test_stress_is_the_slope_under_strain(code: Code, seed: int, run: Run) -> None:
    """Along a random strain, in which all six components have their share."""
    structure, tight = silicon(), {**code.converged, "launcher": ""}
    strain = np.random.default_rng(seed).normal(size=(3, 3))
    strain = (strain + strain.T) / np.linalg.norm(strain + strain.T)
    step, ends = 0.004, []
    for sign in (step, -step):
        deform = np.eye(3) + sign * strain
        strained = replace(
            structure, cell=structure.cell @ deform, positions=structure.positions @ deform
        )
        ends.append(good(run(code, strained, **tight)).energy)
    volume = abs(np.linalg.det(structure.cell))
    stress = good(run(code, structure, **tight)).stress
    assert stress is not None
    expected = float(np.sum(tensor_from_voigt(stress) * strain))
    assert abs(expected) > 5e-3
    assert (ends[0] - ends[1]) / (2 * step) / volume == pytest.approx(expected, abs=code.slopes[1])


@pytest.mark.proves("stress")
@every_code
def test_a_molecule_has_no_stress_and_a_crystal_one_under_tension(code: Code, run: Run) -> None:
    assert good(run(code, silylene())).stress is None
    structure = silicon(rattled=0.0)
    wide = replace(structure, cell=structure.cell * 1.06, positions=structure.positions * 1.06)
    stress = good(run(code, wide)).stress
    assert stress is not None
    assert stress[:3].mean() > 0.01


@pytest.mark.proves("two ranks")
@each_structure
@every_code
def test_one_process_and_two_ranks_agree(code: Code, what: str, run: Run) -> None:
    two = good(run(code, STRUCTURES[what]))
    one = good(run(code, STRUCTURES[what], launcher=""))
    assert one.directory != two.directory
    assert one.energy == pytest.approx(two.energy, abs=code.ranks_differ_by[0])
    np.testing.assert_allclose(one.forces, two.forces, atol=code.ranks_differ_by[1])


@pytest.mark.proves("charge")
@every_code
def test_the_charge_reaches_the_code(code: Code, run: Run) -> None:
    """Ionising SiH2 costs 9 eV, less the attraction of its images and background, about 3 eV."""
    neutral = good(run(code, silylene()))
    ion = good(run(code, silylene(charge=1, multiplicity=2)))
    assert 4.0 < ion.energy - neutral.energy < 10.0
    assert ion.details["charge"] == 1


@pytest.mark.proves("spin")
@every_code
def test_the_multiplicity_reaches_the_code(code: Code, run: Run) -> None:
    singlet = good(run(code, silylene()))
    triplet = good(run(code, silylene(multiplicity=3)))
    assert 0.5 < triplet.energy - singlet.energy < 1.6
    assert triplet.details["spin_polarized"]
    moments = [triplet.details.get(key, 0.0) for key in ("magnetization", "absolute_magnetization")]
    assert max(moments) == pytest.approx(2.0, abs=0.4)
    with pytest.raises(UserError, match="correct charge or multiplicity"):
        reference_of(code).check(silylene(multiplicity=2))


@pytest.mark.proves("mesh")
@pytest.mark.parametrize("kind", ["gamma", "monkhorst-pack"])
@every_code
def test_a_stated_mesh_is_the_mesh_of_the_code(code: Code, kind: str, run: Run) -> None:
    structure = silicon()
    found = good(run(code, structure, k_points=[2, 3, 1], k_mesh=kind))
    used = code.k_points(Path(found.directory), structure)
    expected = Mesh((2, 3, 1), kind).points
    assert {folded(point) for point in used} == {folded(point) for point in expected}
    assert found.details["k_points"] == str(Mesh((2, 3, 1), kind))


@pytest.mark.slow
@pytest.mark.parametrize("code", [code for code in CODES if code.same_physics], ids=str)
@pytest.mark.proves("mesh")
def test_a_stated_mesh_gives_the_forces_that_other_codes_give(code: Code, run: Run) -> None:
    """PBE on two meshes that differ in their centre alone: the codes agree, the meshes do not."""
    first = next(code for code in CODES if code.same_physics)
    if code.missing or first.missing:
        pytest.skip(code.missing or first.missing)
    forces = {}
    for kind in ("gamma", "monkhorst-pack"):
        for one in (first, code):
            more = {"k_points": [2, 2, 2], "k_mesh": kind, **one.better}
            forces[one.name, kind] = good(run(one, silicon(), launcher="", **more)).forces
        np.testing.assert_allclose(forces[code.name, kind], forces[first.name, kind], atol=0.12)
    assert np.abs(forces[code.name, "gamma"] - forces[code.name, "monkhorst-pack"]).max() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize("code", [code for code in CODES if code.restarts], ids=str)
@pytest.mark.parametrize("what", STRUCTURES)
@pytest.mark.proves("restart")
def test_another_start_leads_to_the_same_label(code: Code, what: str, tmp_path: Path) -> None:
    """Begun with what another level left, smeared occupations, as a remedy begins."""
    if code.missing:
        pytest.skip(code.missing)
    structure = STRUCTURES[what]
    usual = {**code.crystal, **MESH} if what == "crystal" else code.molecule
    spec = {"engine": code.name, **usual, "restart": True}
    smeared = {**spec, "smearing": "fermi-dirac", "smearing_width_eV": 0.2}
    alone = good(label(LabelRequest(spec, structure, str(tmp_path / "0001"))))
    before = good(label(LabelRequest(smeared, structure, str(tmp_path / "0002"))))
    request = LabelRequest(spec, structure, str(tmp_path / "0003"), previous=before.directory)
    found = good(label(request))
    assert found.details["restarted_from"] == "0002"
    assert abs(before.energy - found.energy) > 1e-4
    assert found.energy == pytest.approx(alone.energy, abs=1e-6)
    np.testing.assert_allclose(found.forces, alone.forces, atol=2e-4)
    assert found.details["iterations"] <= alone.details["iterations"]


def folded(point: np.ndarray) -> tuple[float, ...]:
    """A point and its time reversal as one, modulo reciprocal vectors."""
    ends = [np.round(np.round(sign * point, 4) % 1.0, 4) % 1.0 for sign in (1, -1)]
    return min(tuple(end.tolist()) for end in ends)

"""The shipped weights are the ones their card describes, and they can hold ethanol together."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule

from bnnflow.potentials.ensemble import load_foundation
from bnnflow.potentials.registry import locate
from bnnflow.records import PotentialSpec, Structure
from bnnflow.training.assess import calculator, stability
from bnnflow.training.card import markdown
from bnnflow.training.molecules import ETHANOL

WEIGHTS: Path = locate("chno-small")


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    return dict(json.loads(WEIGHTS.with_suffix(".json").read_text()))


def test_checksum_is_the_card_s(card: dict[str, Any]) -> None:
    assert hashlib.sha256(WEIGHTS.read_bytes()).hexdigest() == card["sha256"]
    assert WEIGHTS.stat().st_size == card["bytes"] < 4e6


def test_the_page_is_made_from_the_figures(card: dict[str, Any]) -> None:
    assert WEIGHTS.with_suffix(".md").read_text() == markdown(card)


def test_ethanol_is_not_among_the_molecules(card: dict[str, Any]) -> None:
    assert "ethanol" not in card["molecules"] + card["held_out"]


def test_errors_on_ethanol_are_those_of_a_useful_start(card: dict[str, Any]) -> None:
    errors = card["errors_kcal_per_mol"]
    assert errors["ethanol against GFN2-xTB"]["force_rmse"] < 2.0
    assert errors["ethanol against GFN2-xTB"]["energy_rmse"] < 0.7
    assert errors["held-out molecules against GFN2-xTB"]["force_rmse"] < 5.0


def test_ten_picoseconds_were_stable(card: dict[str, Any]) -> None:
    run = card["stability"]
    assert run["length_ps"] >= 10
    assert 270 < run["mean_temperature_k"] < 330
    assert 0.7 < run["shortest_bond"] < run["longest_bond"] < 1.4


def test_elements_and_precision() -> None:
    potential = load_foundation(PotentialSpec("chno-small")).potential
    assert potential.elements == (1, 6, 7, 8)
    assert str(potential.dtype) == "torch.float32"


def test_forces_are_minus_the_gradient_of_the_energy() -> None:
    ensemble = load_foundation(PotentialSpec("chno-small", dtype="float64"))
    positions = molecule("CH3OH").positions

    def energy(shift: float) -> float:
        moved = positions.copy()
        moved[0, 2] += shift
        return float(ensemble.members(Structure(molecule("CH3OH").numbers, moved)).energy[0])

    force = ensemble.members(Structure(molecule("CH3OH").numbers, positions)).forces[0, 0, 2]
    assert force == pytest.approx((energy(-1e-4) - energy(1e-4)) / 2e-4, abs=1e-5)


def test_it_agrees_with_mace_torch_s_own_calculator() -> None:
    atoms = ETHANOL.build()
    ours = load_foundation(PotentialSpec("chno-small")).members(Structure.from_atoms(atoms))
    atoms.calc = calculator(WEIGHTS)
    np.testing.assert_allclose(ours.forces[0], atoms.get_forces(), atol=1e-4)
    assert ours.energy[0] == pytest.approx(atoms.get_potential_energy(), abs=2e-3)


def test_a_short_run_holds_together() -> None:
    run = stability(calculator(WEIGHTS), ETHANOL.build(), 0.05, 300, seed=1)
    assert 0.7 < run.shortest_bond < run.longest_bond < 1.4

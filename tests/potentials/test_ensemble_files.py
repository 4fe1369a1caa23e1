"""Ensembles on disk, and the prediction of a task against mace-torch's, member by member."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_mace import ELEMENTS, Tiny, crystal, molecules, stock_answer

from bnnflow import tasks
from bnnflow.errors import ModelError
from bnnflow.potentials import load_ensemble, load_foundation
from bnnflow.potentials.ensemble import load_member, member_path, save_member
from bnnflow.records import EnsembleRef, PotentialSpec, Prediction, PredictRequest, Structure
from bnnflow.units import FORCE_STD_START, STRESS_STD

PRESENT = (1, 6, 8)
FLOOR = 0.004  # eV


def spec_of(tiny: Tiny) -> PotentialSpec:
    return PotentialSpec(str(tiny.path), dtype="float64")


def saved(tiny: Tiny, folder: Path, k: int, elements: tuple[int, ...] = ELEMENTS) -> EnsembleRef:
    """k members on disk, scattered where they are active."""
    active = tiny.potential.active(elements)
    folder.mkdir(exist_ok=True)
    for chain, member in enumerate(tiny.members(k)):
        path = member_path(str(folder), chain)
        save_member(path, active=active, values=member[active])
    return EnsembleRef(str(folder), version=1, n_members=k)


def test_members_come_back_bit_for_bit(tiny: Tiny, tmp_path: Path) -> None:
    reference = saved(tiny, tmp_path, 3)
    ensemble = load_ensemble(spec_of(tiny), reference)
    assert torch.equal(ensemble.parameters, tiny.members(3))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"chain-{chain:02d}.safetensors" for chain in range(3)]


def test_what_is_not_active_stays_at_its_trained_value(tiny: Tiny, tmp_path: Path) -> None:
    reference = saved(tiny, tmp_path, 1, PRESENT)
    member = load_member(spec_of(tiny), reference, 0)
    active = tiny.potential.active(PRESENT)
    assert torch.equal(member[active], tiny.members(1)[0, active])
    assert torch.equal(member[~active], tiny.potential.prior_mean()[~active])


def test_a_missing_member_is_named(tiny: Tiny, tmp_path: Path) -> None:
    reference = saved(tiny, tmp_path, 2)
    with pytest.raises(ModelError, match=r"chain-02\.safetensors is missing: expected 3"):
        load_ensemble(spec_of(tiny), EnsembleRef(reference.directory, 1, 3))


def test_members_of_another_model_are_refused(
    vector_mace: Tiny, scalar_mace: Tiny, tmp_path: Path
) -> None:
    reference = saved(vector_mace, tmp_path, 1)
    with pytest.raises(ModelError, match="another model made it"):
        load_ensemble(spec_of(scalar_mace), reference)


def test_a_new_version_is_picked_up(tiny: Tiny, tmp_path: Path) -> None:
    spec = spec_of(tiny)
    first, second = saved(tiny, tmp_path / "v1", 1), saved(tiny, tmp_path / "v2", 2)
    one, two, again = (load_ensemble(spec, reference) for reference in (first, second, first))
    assert (len(one.parameters), len(two.parameters)) == (1, 2)
    assert again is one
    assert two.potential is one.potential


def stock_answers(tiny: Tiny, structure: Structure, k: int) -> dict[str, np.ndarray]:
    answers = [stock_answer(tiny.stock_member(one), structure) for one in tiny.members(k)]
    return {name: np.stack([answer[name] for answer in answers]) for name in answers[0]}


def head_variance(tiny: Tiny, structure: Structure, k: int) -> np.ndarray:
    """(n_atoms,) mean over members of sigma_i squared, one member and one frame at a time."""
    batch = tiny.batch([structure])
    stds = [tiny.potential.evaluate(one[None], batch).force_std[0, 0] for one in tiny.members(k)]
    return torch.stack(stds).square().mean(0).detach().numpy()


def test_predict_reduces_what_mace_torch_says_of_each_member(tiny: Tiny, tmp_path: Path) -> None:
    structures = (molecules()[1], crystal())
    reference = saved(tiny, tmp_path, 4)
    answer = tasks.predict(PredictRequest(spec_of(tiny), reference, FLOOR, structures))
    assert isinstance(answer, tuple)
    for structure, prediction in zip(structures, answer, strict=True):
        expected = stock_answers(tiny, structure, 4)
        energies = expected["total"]
        np.testing.assert_allclose(prediction.member_energies, energies, atol=1e-8)
        assert prediction.energy == pytest.approx(energies.mean(), abs=1e-8)
        assert prediction.energy_spread == pytest.approx(energies.std(ddof=1), rel=1e-6)
        total = np.sqrt(energies.var(ddof=1) + FLOOR**2)
        assert prediction.energy_std == pytest.approx(total, rel=1e-6)
        np.testing.assert_allclose(prediction.forces, expected["forces"].mean(0), atol=1e-10)
        noise = head_variance(tiny, structure, 4)[:, None]
        std = np.sqrt(expected["forces"].var(0, ddof=1) + noise)
        np.testing.assert_allclose(prediction.forces_std, std, rtol=1e-8)
    _check_stress(answer[1], expected["stress"])
    assert answer[0].stress is None
    assert answer[0].stress_std is None


def _check_stress(prediction: Prediction, members: np.ndarray) -> None:
    assert prediction.stress is not None
    assert prediction.stress_std is not None
    np.testing.assert_allclose(prediction.stress, members.mean(0), atol=1e-12)
    std = np.sqrt(members.var(0, ddof=1) + STRESS_STD**2)
    np.testing.assert_allclose(prediction.stress_std, std, rtol=1e-8)


def test_foundation_alone_has_no_spread(tiny: Tiny) -> None:
    structure = molecules()[0]
    ensemble = load_foundation(spec_of(tiny))
    prediction = tasks.predict_one(ensemble, structure, energy_std_floor=FLOOR)
    expected = stock_answer(tiny.stock, structure)
    assert prediction.energy == pytest.approx(expected["total"], abs=1e-8)
    np.testing.assert_allclose(prediction.forces, expected["forces"], atol=1e-10)
    assert (prediction.energy_spread, prediction.energy_std) == (0.0, FLOOR)
    np.testing.assert_allclose(prediction.forces_std, FORCE_STD_START, rtol=1e-12)
    (same,) = tasks.predict(PredictRequest(spec_of(tiny), None, FLOOR, (structure,)))
    assert same.energy == prediction.energy


def test_energy_of_a_float32_ensemble_keeps_float64_digits(scalar_mace: Tiny) -> None:
    """The atoms' -4 keV would round a float32 sum to 2e-4 eV; the difference shows far less."""
    structure = molecules()[1]
    spec = PotentialSpec(str(scalar_mace.path), dtype="float32")
    single = load_foundation(spec).members(structure).energy[0]
    double = load_foundation(spec_of(scalar_mace)).members(structure).energy[0]
    assert abs(double) > 2e3
    assert single == pytest.approx(double, abs=1e-5)

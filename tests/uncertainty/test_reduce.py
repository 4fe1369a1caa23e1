import numpy as np
import pytest

from bnnflow.uncertainty import reduce_members

FLOOR, STRESS_STD = 0.02, 3e-4


def members(rng: np.random.Generator, k: int, n_atoms: int = 5) -> dict[str, np.ndarray]:
    return {
        "energy": rng.normal(-10.0, 0.1, k),
        "forces": rng.normal(0.0, 0.3, (k, n_atoms, 3)),
        "force_std": rng.uniform(0.01, 0.2, (k, n_atoms)),
        "stress": rng.normal(0.0, 1e-3, (k, 6)),
    }


def reduced(**arrays: np.ndarray | None):
    return reduce_members(**arrays, energy_std_floor=FLOOR, stress_std=STRESS_STD)


def test_two_members_by_hand():
    prediction = reduce_members(
        energy=np.array([1.0, 3.0]),
        forces=np.array([[[1.0, 0.0, 0.0]], [[2.0, 0.0, 0.0]]]),
        force_std=np.array([[3.0], [4.0]]),
        stress=np.array([[0.0] * 6, [0.0] * 5 + [2.0]]),
        energy_std_floor=1.0,
        stress_std=1.0,
    )
    assert prediction.energy == 2.0
    assert prediction.energy_spread == pytest.approx(np.sqrt(2.0))
    assert prediction.energy_std == pytest.approx(np.sqrt(3.0))
    assert prediction.forces.tolist() == [[1.5, 0.0, 0.0]]
    expected = np.sqrt([0.5 + 12.5, 12.5, 12.5])
    np.testing.assert_allclose(prediction.forces_std[0], expected)
    np.testing.assert_allclose(prediction.stress_std, [1.0] * 5 + [np.sqrt(3.0)])


def test_shapes_and_means():
    rng = np.random.default_rng(0)
    arrays = members(rng, 8)
    prediction = reduced(**arrays)
    assert prediction.forces_std.shape == (5, 3)
    assert prediction.stress_std.shape == (6,)
    assert prediction.finite
    np.testing.assert_allclose(prediction.forces, np.mean(arrays["forces"], axis=0))
    np.testing.assert_allclose(prediction.stress, np.mean(arrays["stress"], axis=0))
    np.testing.assert_array_equal(prediction.member_energies, arrays["energy"])


def test_one_member_has_no_spread():
    rng = np.random.default_rng(1)
    arrays = members(rng, 1)
    prediction = reduced(**arrays)
    assert prediction.energy_spread == 0.0
    assert prediction.energy_std == pytest.approx(FLOOR)
    expected = np.repeat(arrays["force_std"][0][:, None], 3, axis=1)
    np.testing.assert_allclose(prediction.forces_std, expected)
    np.testing.assert_allclose(prediction.stress_std, STRESS_STD)


def test_no_stress_when_the_members_give_none():
    rng = np.random.default_rng(2)
    prediction = reduced(**(members(rng, 3) | {"stress": None}))
    assert prediction.stress is None
    assert prediction.stress_std is None


def test_law_of_total_variance():
    """Averaged over ensembles, the variance is that of a fresh member's noisy prediction."""
    rng = np.random.default_rng(3)
    repeats, k, tau = 4000, 4, 0.05
    noise = rng.uniform(0.02, 0.1, (k, 1))
    predictions = [
        reduced(
            energy=rng.normal(0.0, tau, k),
            forces=rng.normal(0.0, tau, (k, 1, 3)),
            force_std=noise,
            stress=rng.normal(0.0, tau, (k, 6)),
        )
        for _ in range(repeats)
    ]
    fresh = rng.normal(0.0, tau, 400_000)
    noisy = fresh + rng.normal(0.0, 1.0, fresh.size) * rng.choice(noise[:, 0], fresh.size)
    energies = fresh + rng.normal(0.0, FLOOR, fresh.size)
    assert np.mean([p.energy_std**2 for p in predictions]) == pytest.approx(
        energies.var(), rel=0.04
    )
    assert np.mean([p.forces_std**2 for p in predictions]) == pytest.approx(noisy.var(), rel=0.04)
    assert np.mean([p.energy_spread**2 for p in predictions]) == pytest.approx(tau**2, rel=0.04)

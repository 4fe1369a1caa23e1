"""Figures and bootstrap of made-up predictions whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from heldout_study.bootstrap import changes, pooled_change
from heldout_study.figures import figures, frame_mean_squares
from heldout_study.predictions import Predictions
from heldout_study.summary import figure, mean_and_error, rows

from bnnflow.units import KCAL_PER_MOL

FRAMES, ATOMS = 2000, 3


def made_up(*, error: float, head: float, members: int = 2, spread: float = 0.0) -> Predictions:
    """Errors of std `error` around the truth, heads that say `head`, all kcal/mol/Å; half of the
    members at +spread, half at -spread."""
    rng = np.random.default_rng(0)
    side = spread * np.where(np.arange(members) % 2, 1.0, -1.0)
    force = error * rng.normal(size=(FRAMES, ATOMS, 3))
    energy = 0.3 + error * rng.normal(size=FRAMES)
    return Predictions(
        energy=(energy + side[:, None]) * KCAL_PER_MOL,
        forces=(force + side[:, None, None, None]) * KCAL_PER_MOL,
        force_std=np.full((members, FRAMES, ATOMS), head * KCAL_PER_MOL),
        energy_truth=np.zeros(FRAMES),
        forces_truth=np.zeros((FRAMES, ATOMS, 3)),
        energy_std=0.2 * KCAL_PER_MOL,
    )


def test_errors_are_in_kcal_per_mol() -> None:
    found = figures(made_up(error=0.7, head=0.7))
    assert found["force_rmse"] == pytest.approx(0.7, rel=0.02)
    assert found["energy_rmse"] == pytest.approx(np.hypot(0.7, 0.3), rel=0.04)
    assert found["energy_rmse_centred"] == pytest.approx(0.7, rel=0.04)


def test_right_stds_cover_what_they_say() -> None:
    found = figures(made_up(error=0.7, head=0.7))
    for percent in (50, 68, 90, 95):
        assert found[f"force_coverage_{percent}"] == pytest.approx(percent / 100, abs=0.015)
    assert found["force_log_likelihood"] == pytest.approx(
        -0.5 - 0.5 * np.log(2 * np.pi) - np.log(0.7), abs=0.02
    )


def test_small_stds_cover_less() -> None:
    assert figures(made_up(error=0.7, head=0.2))["force_coverage_95"] < 0.5


def test_spread_alone_is_over_the_error() -> None:
    """Two members at +-s have the unbiased std s sqrt(2)."""
    found = figures(made_up(error=1.0, head=0.1, spread=0.5))
    assert found["force_spread_over_error"] == pytest.approx(0.5 * np.sqrt(2), rel=0.02)
    assert found["force_std_over_error"] == pytest.approx(np.sqrt(0.5 + 0.01), rel=0.02)


def test_one_member_alone_has_no_spread() -> None:
    found = figures(made_up(error=1.0, head=0.1, members=1))
    assert "force_spread_over_error" not in found
    assert np.isnan(figure([{"figures": found}], "force_spread_over_error")[0])


def test_predictions_come_back_from_their_file(tmp_path) -> None:
    one = made_up(error=1.0, head=0.1, spread=0.2)
    one.save(tmp_path / "3.npz")
    back = Predictions.load(tmp_path / "3.npz")
    np.testing.assert_array_equal(back.forces, one.forces)
    assert back.energy_std == one.energy_std
    assert list(tmp_path.iterdir()) == [tmp_path / "3.npz"]


def squares(rmse: float, seed: int, frames: int = 60) -> np.ndarray:
    return rmse**2 * np.random.default_rng(seed).uniform(0.5, 1.5, size=frames)


def test_paired_changes_see_what_unpaired_noise_would_hide() -> None:
    """Every frame worse by 2 % is significant although frames differ by 50 %."""
    before = squares(2.0, 0)
    (change,) = changes(before[None], 1.02**2 * before[None])
    assert change.value == pytest.approx(0.02 * np.sqrt(before.mean()))
    assert change.worse
    (better,) = changes(before[None], 0.98**2 * before[None])
    assert not better.worse
    assert better.high < 0


def test_no_change_is_rarely_called_worse() -> None:
    pairs = [(squares(2.0, 2 * i), squares(2.0, 2 * i + 1)) for i in range(200)]
    before, after = (np.stack(column) for column in zip(*pairs, strict=True))
    found = changes(before, after, resamples=400)
    assert sum(change.worse for change in found) <= 14
    pooled = pooled_change(before, after, resamples=400)
    assert pooled.low < 0 < pooled.high


def test_pooled_interval_widens_with_updates_that_disagree() -> None:
    """One update of ten much worse: the mean is above zero, but not surely."""
    before = np.stack([squares(2.0, 0)] * 10)
    after = before.copy()
    after[0] *= 4.0
    pooled = pooled_change(before, after)
    assert pooled.value > 0
    assert pooled.low == 0.0


def test_frame_mean_squares_average_to_the_rmse() -> None:
    one = made_up(error=0.7, head=0.7)
    root = np.sqrt(frame_mean_squares(one).mean())
    assert root == pytest.approx(figures(one)["force_rmse"])


def test_error_bars_are_standard_errors_over_seeds() -> None:
    mean, error = mean_and_error([1.0, 2.0, 3.0])
    assert (mean, error) == (2.0, pytest.approx(1 / np.sqrt(3)))
    assert np.isnan(mean_and_error([1.0])[1])


def test_the_foundation_model_is_one_row_for_all_methods() -> None:
    records = [
        {"method": method, "seed": seed, "n": n}
        for method in ("a", "b")
        for seed in (0, 1)
        for n in (0, 1)
    ]
    found = rows(records)
    assert list(found) == [("foundation", 0), ("a", 1), ("b", 1)]
    assert [record["seed"] for record in found["foundation", 0]] == [0, 1]

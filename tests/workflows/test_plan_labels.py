"""When planned runs are labelled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.stats import chi2, norm

from workflows.plan_labels import FARTHEST, LabelHistory, LabelTimes, telling

TWO = LabelHistory((100.0, 400.0), 1000.0)


def evenly(count: int, material: str, length: float = 1000.0) -> LabelHistory:
    return LabelHistory((), length, material).with_count(count)


def counts(
    histories: Sequence[LabelHistory], plays: int, materials: int = 1, n_steps: int = 2000
) -> np.ndarray:
    """(plays, materials) labels after the first frame's, of 0.5 fs steps."""
    found = []
    for seed in range(plays):
        times = LabelTimes(histories, np.random.default_rng(seed))
        runs = [times.steps(str(number), n_steps, 0.5) for number in range(materials)]
        assert all(steps[0] == 0 and len(set(steps)) == len(steps) for steps in runs)
        found.append([len(steps) - 1 for steps in runs])
    return np.array(found)


def test_a_history_is_cut_off_or_goes_on_at_its_late_rate() -> None:
    random = np.random.default_rng(0)
    assert TWO.stretched(1000.0, random) == TWO
    assert TWO.stretched(300.0, random) == LabelHistory((100.0,), 300.0)
    late = LabelHistory((600.0, 900.0), 1000.0)
    found = [len(late.stretched(6000.0, random).times_fs) for _ in range(300)]
    assert late.expected(6000.0) == pytest.approx(2 + 2 / 500.0 * 5000.0)
    assert np.mean(found) == pytest.approx(late.expected(6000.0), rel=0.05)
    assert late.expected(700.0) == 1.0


def test_a_harder_material_asks_more_often_at_the_same_shares_of_its_labels() -> None:
    """Five instead of two: in the middle of each stretch, the first and the last included."""
    assert TWO.with_count(2) == TWO
    assert TWO.with_count(5).times_fs == (50.0, 100.0, 250.0, 400.0, 700.0)
    assert TWO.with_count(5).with_count(2) == TWO
    assert TWO.with_count(0).times_fs == ()
    assert evenly(3, "").times_fs == (250.0, 500.0, 750.0)


def test_counts_by_hand_are_taken_as_they_are() -> None:
    by_hand = LabelHistory((0.25, 0.5), 1.0, relative=True)
    times = LabelTimes([by_hand], np.random.default_rng(0))
    assert times.steps("A", 400, 0.5) == [0, 100, 200]


def test_the_mean_of_all_materials_is_as_uncertain_as_few_measured_ones_leave_it() -> None:
    """One measured material of 100 labels: s^2 = 3 0.4^2 / chi^2 with 3 degrees of freedom, the
    mean of log counts N(log 100, s^2). Of 100 planned materials the mean is that one, the spread s.
    """
    found = np.log(counts([evenly(100, "A")], 400, 100) / 100)
    spreads, means = found.std(axis=1), np.median(found, axis=1)
    for share in (0.25, 0.5):  # of the widest, materials are clipped
        s = np.sqrt(3 * 0.4**2 / chi2(3).ppf(1 - share))
        assert np.quantile(spreads, share) == pytest.approx(s, rel=0.15)
    s = np.sqrt(3 * 0.4**2 / chi2(3).ppf(0.5))
    assert np.median(np.abs(means)) == pytest.approx(s * norm.ppf(0.75), rel=0.3)
    assert np.abs(found).max() == pytest.approx(FARTHEST, abs=0.03)


def test_more_measured_materials_narrow_the_mean_and_tell_the_spread() -> None:
    same = [evenly(100, str(number)) for number in range(30)]
    assert np.std(np.log(counts(same, 200, 50) / 100).mean(axis=1)) < 0.05
    apart = [evenly(count, str(count)) for count in (25, 50, 100, 200, 400) * 4]
    known = [LabelHistory(h.times_fs, 1000.0, str(n)) for n, h in enumerate(apart)]
    measured = np.log([25, 50, 100, 200, 400] * 4)
    assert np.log(counts(known, 100, 50)).std() == pytest.approx(measured.std(), rel=0.15)


def test_walkers_of_one_material_count_once_and_ask_alike() -> None:
    """Nine runs of one material say as much of the next as one does, and less than nine materials
    do."""
    walkers = [evenly(100, "A")] * 9
    spread, alone, apart = (
        float(np.log(counts(histories, 400)).std())
        for histories in (walkers, walkers[:1], [evenly(100, str(n)) for n in range(9)])
    )
    assert spread == pytest.approx(alone, rel=0.1)
    assert apart < 0.7 * spread
    times = LabelTimes(walkers, np.random.default_rng(1))
    assert len({len(times.steps("A", 2000, 0.5)) for _ in range(5)}) == 1
    own = [len(LabelTimes(walkers, np.random.default_rng(s)).steps("A", 2000, 0.5))
           for s in range(30)]  # fmt: skip
    assert np.std(np.log(own)) > 0.2


def test_runs_of_different_length_are_compared_over_the_same() -> None:
    """Labels come early: one that has gone on for longer has a lower rate and the same count; one
    that has only begun is left out."""
    early = LabelHistory(tuple(10.0 * n for n in range(1, 21)), 1000.0, "A")
    longer = LabelHistory(early.times_fs, 5000.0, "B")
    begun = LabelHistory((0.5, 1.0, 1.5), 2.0, "C")
    for histories in ([early], [early, longer], [early, longer, begun]):
        assert np.median(counts(histories, 1000)) == pytest.approx(20, abs=1.5)


def test_a_run_that_was_left_early_because_it_asked_all_the_time_counts() -> None:
    """Eleven labels in a fifth of the length that others need four for."""
    usual = [evenly(4, str(number)) for number in range(5)]
    begun = LabelHistory((0.5, 1.0, 1.5, 2.0), 150.0, "begun")
    hard = LabelHistory(tuple(15.0 * n for n in range(1, 12)), 180.0, "hard")
    assert telling([*usual, begun, hard]) == [*usual, hard]
    assert telling([hard]) == [hard]
    quiet = [LabelHistory((), 1000.0, str(number)) for number in range(5)]
    assert telling([*quiet, begun]) == quiet
    with_it, without = (
        np.minimum(counts(histories, 300, 10), 12) for histories in ([*usual, hard], usual)
    )
    assert with_it.mean() > without.mean() + 1.0
    assert (with_it == 12).mean() > 2 * (without == 12).mean()


def test_walkers_that_never_asked_are_no_error() -> None:
    quiet = LabelHistory((), 1000.0, "A")
    assert counts([quiet], 50).max() <= 2
    assert counts([quiet, TWO], 50).max() <= 12


def test_no_step_is_labelled_twice() -> None:
    """Asking at each of the first eight steps, and planned to ask more often."""
    hard = LabelHistory(tuple(0.5 * n for n in range(1, 9)), 1000.0, "A")
    found = counts([hard], 100)
    assert found.max() > 16

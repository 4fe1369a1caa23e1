"""Label rates against planted ones, closed forms, and p values under the null hypothesis."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bnnflow.analysis.motion.label_rate import label_rate_around, shifted_p_value, within

TIMES = 1.5 * np.arange(4000)


def bursts(rng: np.random.Generator, count: int, size: int, spread: float) -> np.ndarray:
    """Times that come `size` together within about `spread` fs."""
    starts = rng.uniform(TIMES[0], TIMES[-1], size=count)
    return np.ravel(starts[:, None] + rng.normal(scale=spread, size=(count, size))) % TIMES[-1]


def test_windows_are_as_wide_as_asked_for() -> None:
    inside = within([30.0, 33.0, 90.0], TIMES[:100], 15.0)
    assert TIMES[:100][inside].tolist() == [
        *np.arange(22.5, 42.0, 1.5), *np.arange(82.5, 99.0, 1.5),
    ]  # fmt: skip
    assert not within([], TIMES, 15.0).any()


def test_planted_labels_give_the_ratio_of_rates() -> None:
    events = TIMES[500::500]
    inside = within(events, TIMES, 15.0)
    labels = np.concatenate([TIMES[inside][:14], TIMES[~inside][:63]])
    found = label_rate_around(events, labels, TIMES)
    share = 7 * 11 / 4000
    assert (found.labels_inside, found.labels, found.events) == (14, 77, 7)
    assert found.time_share == pytest.approx(share)
    assert found.ratio == pytest.approx((14 / (7 * 11)) / (63 / (4000 - 7 * 11)))
    assert found.p_exact == pytest.approx(stats.binom.sf(13, 77, share))
    low = stats.beta.ppf(0.025, 14, 64)  # Clopper-Pearson, from the beta distribution
    assert found.low == pytest.approx(low / (1 - low) * (1 - share) / share)
    assert found.low < found.ratio < found.high


def test_the_exact_test_is_that_of_two_poisson_rates() -> None:
    """The binomial tail given the total (C-test); scipy's E-test of the same means lies near."""
    inside = np.arange(4000) < 800
    labels = np.concatenate([TIMES[:800:40], TIMES[800::80]])
    found = label_rate_around([TIMES[400] - 0.75], labels, TIMES, window_fs=1200.0 - 1.0)
    counts = int(inside[(labels / 1.5).astype(int)].sum())
    wanted = stats.poisson_means_test(
        counts, 800, len(labels) - counts, 3200, alternative="greater"
    )
    assert (found.labels_inside, found.labels) == (20, 60)
    assert found.time_share == pytest.approx(0.2)
    assert found.p_exact == pytest.approx(stats.binom.sf(19, 60, 0.2))
    assert found.p_exact == pytest.approx(wanted.pvalue, rel=0.5)


def test_shifted_p_value_counts_every_shift() -> None:
    rng = np.random.default_rng(1)
    counts, inside = rng.poisson(0.3, size=41).astype(float), rng.uniform(size=41) < 0.3
    sums = [float(np.sum(np.roll(counts, shift)[inside])) for shift in range(41)]
    assert shifted_p_value(counts, inside) == np.mean(np.array(sums) >= sums[0])


def test_p_values_are_uniform_when_labels_do_not_know_of_events() -> None:
    rng = np.random.default_rng(2)
    exact, shifted = [], []
    for _ in range(400):
        events = rng.uniform(TIMES[0], TIMES[-1], size=120)
        labels = rng.choice(TIMES, size=280, replace=False)
        found = label_rate_around(events, labels, TIMES)
        exact.append(found.p_exact)
        shifted.append(found.p_shifted)
    for values in (exact, shifted):
        assert stats.kstest(values, "uniform").pvalue > 0.01
        assert np.mean(np.array(values) < 0.05) == pytest.approx(0.05, abs=0.025)


def test_bursts_fool_the_exact_test_and_not_the_shifted_one() -> None:
    rng = np.random.default_rng(3)
    exact, shifted = [], []
    for _ in range(300):
        found = label_rate_around(bursts(rng, 30, 4, 20.0), bursts(rng, 30, 10, 8.0), TIMES)
        exact.append(found.p_exact)
        shifted.append(found.p_shifted)
    assert np.mean(np.array(exact) < 0.05) > 0.15
    assert np.mean(np.array(shifted) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert stats.kstest(shifted, "uniform").pvalue > 0.01


def test_labels_planted_at_events_are_found_by_both() -> None:
    rng = np.random.default_rng(4)
    events = rng.uniform(50.0, TIMES[-1] - 50.0, size=60)
    near = events[:40] + rng.uniform(-7.0, 7.0, size=40)
    found = label_rate_around(events, [*near, *rng.uniform(0, TIMES[-1], size=200)], TIMES)
    assert found.labels == 240 and found.labels_inside >= 40
    assert found.ratio > 1.5
    assert found.p_exact < 1e-3 and found.p_shifted < 1e-2


def test_labels_outside_the_range_of_time_are_left_out() -> None:
    found = label_rate_around([3000.0], [-100.0, 2999.0, 1e6], TIMES)
    assert (found.labels_inside, found.labels) == (1, 1)
    assert found.ratio == float("inf")


@pytest.mark.parametrize(("events", "labels"), [([], [30.0]), ([30.0], []), ([], [])])
def test_without_events_or_labels_nothing_is_claimed(events: list, labels: list) -> None:
    found = label_rate_around(events, labels, TIMES)
    assert (found.events, found.labels) == (len(events), len(labels))
    assert np.isnan([found.p_exact, found.p_shifted, found.ratio]).all()

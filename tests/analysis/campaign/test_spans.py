"""Occupancy of pools, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bnnflow.analysis.campaign.spans import (
    KINDS,
    Clock,
    Spans,
    joined,
    levels,
    mean_levels,
    occupancy,
    spans_of,
)
from bnnflow.analysis.campaign.timeline import BINS, pieces
from bnnflow.data import Timing


def spans(*rows: tuple[str, float, float], tasks: int = 1) -> Spans:
    """Of (kind, start, seconds)."""
    kinds, starts, seconds = zip(*rows, strict=True)
    return spans_of(Timing(kinds, np.array(starts), np.array(seconds)), update_tasks=tasks)


def test_shares_of_the_wall_time_with_k_tasks() -> None:
    """Two labels overlap for 2 of 10 s, alone they take 3 and 1; 4 s without."""
    one = spans(("label", 0.0, 5.0), ("md", 5.0, 5.0))
    other = spans(("idle", 0.0, 3.0), ("label", 3.0, 3.0))
    both = joined([one, other])
    found = occupancy(both.of("label"), Clock(both))
    assert found.total == pytest.approx(10.0)
    assert found.seconds == pytest.approx({0: 4.0, 1: 4.0, 2: 2.0})
    assert found.mean == pytest.approx(0.8)
    assert (found.share(1), found.share(2), found.share(3)) == pytest.approx((0.6, 0.2, 0.0))


def test_an_update_counts_with_all_its_tasks() -> None:
    found = spans(("update", 0.0, 4.0), ("md", 4.0, 4.0), tasks=3)
    assert occupancy(found.of("update"), Clock(found)).seconds == pytest.approx({3: 4.0, 0: 4.0})
    assert occupancy(found.of("md"), Clock(found)).seconds == pytest.approx({1: 4.0, 0: 4.0})


def test_hours_in_which_nothing_was_driven_do_not_count() -> None:
    found = spans(("label", 100.0, 10.0), ("label", 5000.0, 10.0))
    clock = Clock(found)
    assert clock.total == pytest.approx(20.0)
    assert clock.pauses == pytest.approx([10.0])
    assert clock.driven(np.array([100.0, 105.0, 3000.0, 5002.0])) == pytest.approx(
        [0.0, 5.0, 10.0, 12.0]
    )
    assert occupancy(found, clock).seconds == pytest.approx({1: 20.0})


def test_a_span_inside_a_longer_one_makes_no_pause() -> None:
    clock = Clock(spans(("update", 0.0, 100.0), ("md", 10.0, 1.0), ("md", 50.0, 60.0)))
    assert clock.total == pytest.approx(110.0) and not len(clock.pauses)


def test_levels_step_by_step() -> None:
    found = spans(("md", 0.0, 2.0), ("md", 1.0, 3.0))
    moments, tasks = levels(found, Clock(found))
    assert moments == pytest.approx([0.0, 1.0, 2.0, 4.0])
    assert tasks.tolist() == [1, 2, 1, 0]


def test_means_over_steps_keep_the_whole() -> None:
    found = spans(("md", 0.0, 2.0), ("md", 1.0, 3.0))
    edges = np.array([0.0, 1.5, 4.0])
    assert mean_levels(found, Clock(found), edges) == pytest.approx([2.0 / 1.5, 3.0 / 2.5])


def test_nothing_at_all() -> None:
    nothing = joined([])
    found = occupancy(nothing, Clock(nothing))
    assert (found.total, found.mean, found.share(1), dict(found.seconds)) == (0.0, 0.0, 0.0, {})


def test_an_unknown_kind_of_time_is_passed_over() -> None:
    assert spans(("md", 0.0, 1.0), ("lunch", 1.0, 1.0)).seconds("md") == 1.0


def test_against_counting_at_many_moments() -> None:
    random = np.random.default_rng(3)
    start, length = random.uniform(0, 50, 200), random.uniform(0, 5, 200)
    timing = Timing(tuple(random.choice(KINDS, 200)), start, length)
    found = spans_of(timing, update_tasks=3)
    clock = Clock(found)
    moments = np.linspace(found.start.min() + 1e-6, found.end.max() - 1e-6, 200_001)
    for kind, weight in (("md", 1), ("update", 3)):
        own = found.of(kind)
        counted = weight * (
            np.searchsorted(np.sort(own.start), moments, side="right")
            - np.searchsorted(np.sort(own.end), moments, side="right")
        )
        full = occupancy(own, clock)
        assert full.mean == pytest.approx(counted.mean(), rel=1e-3)
        for many, seconds in full.seconds.items():
            assert seconds / full.total == pytest.approx((counted == many).mean(), abs=1e-3)


def test_a_run_of_many_spans_is_drawn_by_what_took_most() -> None:
    rows = [("md", 2.0 * number, 1.9) for number in range(BINS)]
    rows += [("label", 2.0 * number + 1.9, 0.1) for number in range(BINS)]
    found = spans(*rows)
    begins, ends, kinds = pieces(found, Clock(found))
    assert kinds.tolist() == [KINDS.index("md")]
    assert (begins[0], ends[0]) == pytest.approx((0.0, 2.0 * BINS))

"""Spaced draws: spacing kept, every admissible choice equally likely, as many as fit."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from bnnflow.analysis.draw import spaced_draw


def test_every_admissible_choice_is_equally_likely() -> None:
    times, rng = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 6.0, 8.0]), np.random.default_rng(1)
    allowed = [c for c in combinations(range(7), 3) if min(np.diff(times[list(c)])) >= 2.0]
    draws = (spaced_draw(times, count=3, spacing=2.0, rng=rng) for _ in range(2000))
    seen = Counter(tuple(draw.tolist()) for draw in draws)
    assert set(seen) == set(allowed)
    assert stats.chisquare([seen[choice] for choice in allowed]).pvalue > 1e-3


def test_spacing_holds_when_it_only_just_fits() -> None:
    times = 0.5 * np.arange(1, 2001)  # 1 ps, the shortest run that holds 50 frames 20 fs apart
    picks = spaced_draw(times, count=50, spacing=20.0, rng=np.random.default_rng(0))
    assert len(picks) == 50 and np.diff(times[picks]).min() >= 20.0


@pytest.mark.parametrize(("times", "fits"), [([], 0), ([4.0], 1), ([0.0, 10.0, 19.9, 20.0], 2)])
def test_fewer_frames_when_no_more_fit(times: list[float], fits: int) -> None:
    picks = spaced_draw(np.array(times), count=9, spacing=20.0, rng=np.random.default_rng(0))
    assert len(picks) == fits


def test_long_runs_do_not_overflow() -> None:
    picks = spaced_draw(np.arange(4000.0), count=120, spacing=3.0, rng=np.random.default_rng(2))
    assert len(picks) == 120 and np.diff(picks).min() >= 3


def test_same_stream_same_draw() -> None:
    first, second = (
        spaced_draw(np.arange(99.0), count=5, spacing=4.0, rng=np.random.default_rng(3))
        for _ in range(2)
    )
    assert first.tolist() == second.tolist()

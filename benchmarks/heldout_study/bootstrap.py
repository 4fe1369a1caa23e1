"""Did an update make held-out forces worse? Paired bootstrap over test frames and updates.

Each update has two rows of mean square force errors, before and after, of the same test frames.
Frames are resampled with replacement, the same ones before and after and for all updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnnflow.records import FloatArray

RESAMPLES = 4000


@dataclass(frozen=True)
class Change:
    """A change of force RMSE, kcal/mol/Å: its value and central 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether the whole interval lies above zero; by chance 2.5 % of null changes do."""
        return self.low > 0.0


def changes(
    before: FloatArray, after: FloatArray, *, resamples: int = RESAMPLES, seed: int = 0
) -> list[Change]:
    """The change of each update; before, after: (updates, frames) mean square errors."""
    rng = np.random.default_rng(seed)
    drawn = _draw_frames(before, after, rng, resamples)
    return [
        _change(value, draws)
        for value, draws in zip(_rmse_change(before, after), drawn.T, strict=True)
    ]


def pooled_change(
    before: FloatArray, after: FloatArray, *, resamples: int = RESAMPLES, seed: int = 0
) -> Change:
    """The mean change over all updates; frames and updates are both resampled."""
    rng = np.random.default_rng(seed)
    drawn = _draw_frames(before, after, rng, resamples)
    updates = rng.integers(len(before), size=drawn.shape)
    means = np.take_along_axis(drawn, updates, axis=1).mean(axis=1)
    return _change(float(_rmse_change(before, after).mean()), means)


def _draw_frames(
    before: FloatArray, after: FloatArray, rng: np.random.Generator, resamples: int
) -> FloatArray:
    """(resamples, updates) changes of RMSE over resampled frames."""
    n_frames = before.shape[1]
    rows = [rng.integers(n_frames, size=n_frames) for _ in range(resamples)]
    return np.stack([_rmse_change(before[:, row], after[:, row]) for row in rows])


def _rmse_change(before: FloatArray, after: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(after.mean(axis=1)) - np.sqrt(before.mean(axis=1)))


def _change(value: float, draws: Sequence[float] | FloatArray) -> Change:
    low, high = np.quantile(draws, (0.025, 0.975))
    return Change(float(value), float(low), float(high))

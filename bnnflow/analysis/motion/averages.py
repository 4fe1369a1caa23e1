"""Time averages with error bars from blocks: frames follow one another and are not independent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnflow.errors import ConfigError
from bnnflow.records import FloatArray

BLOCKS = 10
"""Blocks that a trajectory is cut into, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Mean and its standard error, two arrays of one shape, in the quantity's unit."""

    value: FloatArray
    error: FloatArray


def block_means(series: FloatArray, blocks: int = BLOCKS) -> FloatArray:
    """(blocks, ...) means of consecutive, equally long parts of a series (m, ...).

    Up to blocks - 1 frames at the beginning are left out. Raises ConfigError when there are fewer
    frames than blocks, or fewer than two blocks.
    """
    size = len(series) // blocks if blocks > 1 else 0
    if not size:
        raise ConfigError(
            f"{blocks} blocks of {len(series)} frames, expected 2 or more blocks of a frame or "
            "more: ask for other blocks, or run longer"
        )
    kept = series[len(series) - blocks * size :]
    return np.asarray(kept.reshape(blocks, size, *series.shape[1:]).mean(axis=1))


def average(series: FloatArray, blocks: int = BLOCKS) -> Estimate:
    """Mean over time of a series (m, ...) and its standard error over block means.

    The error is right when a block is long against the correlation time (H. Flyvbjerg and H. G.
    Petersen, J. Chem. Phys. 91, 461 (1989)), and itself uncertain by 1 / sqrt(2 (blocks - 1)).
    """
    return over_blocks(block_means(series, blocks))


def over_blocks(means: FloatArray) -> Estimate:
    """Mean and standard error of independent values (blocks, ...)."""
    spread = means.std(axis=0, ddof=1) / np.sqrt(len(means))
    return Estimate(np.asarray(means.mean(axis=0)), np.asarray(spread))

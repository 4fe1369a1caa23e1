"""Error bars of correlated series against the variance that is known."""

from __future__ import annotations

import numpy as np
import pytest

from bnnflow.analysis.motion.averages import average, block_means
from bnnflow.errors import ConfigError


def autoregressive(memory: float, runs: int, frames: int) -> np.ndarray:
    """(frames, runs) of x_t = memory x_t-1 + noise, variance 1 at all times."""
    rng = np.random.default_rng(10)
    noise = rng.normal(scale=np.sqrt(1 - memory**2), size=(frames, runs))
    noise[0] = rng.normal(size=runs)
    for frame in range(1, frames):
        noise[frame] += memory * noise[frame - 1]
    return noise


def test_error_of_a_correlated_mean_is_what_theory_says() -> None:
    """Var(mean) = (1 + memory) / (1 - memory) / m for m long against the correlation time."""
    memory, frames = 0.9, 4000
    found = average(autoregressive(memory, 300, frames))
    wanted = np.sqrt((1 + memory) / (1 - memory) / frames)
    assert np.sqrt(np.mean(found.error**2)) == pytest.approx(wanted, rel=0.06)
    assert np.std(found.value) == pytest.approx(wanted, rel=0.12)


def test_blocks_are_equal_and_leave_out_the_first_frames() -> None:
    assert block_means(np.arange(11.0), 2).tolist() == [3.0, 8.0]


@pytest.mark.parametrize("blocks", [0, 1, 12])
def test_impossible_blocks_are_refused(blocks: int) -> None:
    with pytest.raises(ConfigError, match=f"{blocks} blocks of 11 frames"):
        block_means(np.arange(11.0), blocks)

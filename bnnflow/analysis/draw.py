"""Random unlabelled frames of a run that keep their distance from one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bnnflow.analysis.run import Run
from bnnflow.records import FloatArray, IntArray, Structure

STREAM = 0x76616C
"""Key of validation's random stream among those derived from the run's seed."""


@dataclass(frozen=True, eq=False)
class Frames:
    """Drawn frames: (n,) MD steps and times in fs, and the structures."""

    steps: IntArray
    times: FloatArray
    structures: tuple[Structure, ...]

    def __len__(self) -> int:
        return len(self.structures)

    def kept(self, keep: Sequence[bool]) -> Frames:
        """The frames for which `keep` is true."""
        mask = np.asarray(keep, dtype=bool)
        chosen = tuple(np.flatnonzero(mask))
        return Frames(self.steps[mask], self.times[mask], tuple(self.structures[i] for i in chosen))


def draw_frames(run: Run, *, count: int, seed: int, spacing_fs: float) -> Frames:
    """Random frames of the trajectory that no label was made of, in the order of time.

    The draw has its own random stream, derived from the run's seed and `seed`.
    """
    table = run.data.trajectory
    rows = np.flatnonzero(~np.isin(table.steps, run.data.labels.step))
    sequence = np.random.SeedSequence(run.config.run.seed, spawn_key=(STREAM, seed))
    picks = spaced_draw(
        table.time_fs[rows], count=count, spacing=spacing_fs, rng=np.random.default_rng(sequence)
    )
    chosen = rows[picks]
    like = run.data.state.checkpoint.structure
    structures = tuple(
        replace(like, positions=table.positions[row], cell=table.cells[row]) for row in chosen
    )
    return Frames(table.steps[chosen], table.time_fs[chosen], structures)


def spaced_draw(
    times: FloatArray, *, count: int, spacing: float, rng: np.random.Generator
) -> IntArray:
    """Draw `count` of the frames at `times`, any two at least `spacing` apart.

    times: (m,), rising; spacing in the same unit. Every admissible choice is equally likely:
    ways[k, i], the number of choices of k frames from frame i on, is counted first, and then used
    as the odds of each frame in turn. Returns the indices, rising; when fewer frames fit, as many
    as fit.
    """
    reach = np.searchsorted(times, times + spacing * (1.0 - 1e-9), side="left")
    ways = _count_ways(reach, min(count, _most(reach)))
    chosen: list[int] = []
    start = 0
    for left in range(len(ways) - 1, 0, -1):
        odds = ways[left - 1][reach[start:]]
        pick = start + int(rng.choice(len(odds), p=odds / odds.sum()))
        chosen.append(pick)
        start = int(reach[pick])
    return np.array(chosen, dtype=np.int64)


def _most(reach: NDArray[np.intp]) -> int:
    """How many frames fit: always take the earliest."""
    frame = found = 0
    while frame < len(reach):
        frame, found = int(reach[frame]), found + 1
    return found


def _count_ways(reach: NDArray[np.intp], count: int) -> list[FloatArray]:
    """ways[k][i] for k = 0..count, each row scaled by a number of its own against overflow."""
    ways: list[FloatArray] = [np.ones(len(reach) + 1)]
    for _ in range(count):
        row = np.append(np.cumsum(ways[-1][reach][::-1])[::-1], 0.0)
        ways.append(row / row.max())
    return ways

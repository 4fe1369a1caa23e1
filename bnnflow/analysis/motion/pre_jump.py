"""Distances just before a jump against those at all times.

Donor: the host an atom belongs to. Acceptor: at all times the nearest other host; before a jump the
host it jumps to. Three distances: donor-acceptor, mobile-acceptor, mobile-donor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnflow.analysis.motion.averages import Estimate, over_blocks
from bnnflow.analysis.motion.jumps import Hopping, Jump
from bnnflow.analysis.motion.periodic import minimum_image
from bnnflow.analysis.motion.trajectory import Motion
from bnnflow.records import FloatArray, IntArray

WINDOW_FS = 15.0
"""Time before a jump that is averaged over, fs, unless told otherwise."""
NAMES: tuple[str, ...] = ("donor-acceptor", "mobile-acceptor", "mobile-donor")
"""The distances, in the order of the last axis of every array here."""


@dataclass(frozen=True, eq=False)
class PreJump:
    """Distances before jumps and at all times, Å, in the order of NAMES.

    before: (n_jumps, 3), each the mean over the window before one jump; always: (m, a, 3) of every
    frame and mobile atom; window: fs.
    """

    before: FloatArray
    always: FloatArray
    window: float

    @property
    def mean_before(self) -> Estimate:
        """(3,) mean over jumps, and its standard error; NaN with fewer than two jumps."""
        if len(self.before) < 2:
            value = self.before.mean(axis=0) if len(self.before) else np.full(3, np.nan)
            return Estimate(value, np.full(3, np.nan))
        return over_blocks(self.before)

    @property
    def quantile(self) -> FloatArray:
        """(3,) share of all times at which the distance is below its mean before jumps."""
        below = self.always < self.mean_before.value
        shares = below.mean(axis=(0, 1))
        return np.asarray(np.where(len(self.before) > 0, shares, np.nan))


def pre_jump_distances(
    motion: Motion, hopping: Hopping, *, window_fs: float = WINDOW_FS
) -> PreJump:
    """Distances in the window before each jump, the crossing itself left out, and at all times.

    motion: the one `hopping` was found in; window_fs: at least one frame is taken. A jump in the
    first frame has nothing before it and is left out.
    """
    size = max(1, round(window_fs / motion.timestep))
    parts = [_before(motion, hopping, jump, size) for jump in hopping.jumps if jump.frame > 0]
    before = np.array(parts).reshape(-1, 3)
    return PreJump(before, _always(motion, hopping), size * motion.timestep)


def _before(motion: Motion, hopping: Hopping, jump: Jump, size: int) -> FloatArray:
    rows = np.arange(max(0, jump.frame - size), jump.frame)
    pair = np.full(len(rows), jump.origin), np.full(len(rows), jump.target)
    atom = int(np.searchsorted(hopping.mobile, jump.atom))
    ends = np.searchsorted(hopping.hosts, [jump.target, jump.origin])
    apart = _apart(motion, rows, *pair).mean()
    return np.array([apart, *hopping.lengths[rows, atom][:, ends].mean(axis=0)])


def _always(motion: Motion, hopping: Hopping) -> FloatArray:
    lengths, owner = hopping.lengths, hopping.owner[:, :, None]
    others = lengths.copy()
    np.put_along_axis(others, owner, np.inf, axis=2)
    acceptor = others.argmin(axis=2)[:, :, None]
    rows = np.arange(len(motion))
    apart = [
        _apart(motion, rows, hopping.hosts[owner[:, a, 0]], hopping.hosts[acceptor[:, a, 0]])
        for a in range(len(hopping.mobile))
    ]
    ends = [np.take_along_axis(lengths, end, axis=2)[:, :, 0] for end in (acceptor, owner)]
    return np.stack([np.stack(apart, axis=1), *ends], axis=2)


def _apart(motion: Motion, rows: IntArray, first: IntArray, second: IntArray) -> FloatArray:
    """(r,) Å, shortest distance between atoms first[i] and second[i] in frame rows[i]."""
    vectors = motion.positions[rows, second] - motion.positions[rows, first]
    nearest = minimum_image(vectors[:, None], motion.lattice[rows], motion.pbc)
    return np.asarray(np.linalg.norm(nearest[:, 0], axis=1))

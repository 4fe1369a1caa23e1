"""The three lengths of a Jahn-Teller distorted octahedron: long, medium and short pairs.

Six lengths of a site are sorted and averaged in pairs. Sorted frame by frame, vibration alone
spreads them: six normal deviates of standard deviation s have pair means of +0.95 s, 0 and -0.95 s.
So lengths of lasting bonds are averaged over a stretch of time first; what is then distinct is a
distortion that lasts at least as long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnflow.analysis.motion.averages import BLOCKS, Estimate, block_means, over_blocks
from bnnflow.errors import StructureError
from bnnflow.records import FloatArray

SITES = 6
"""Neighbours of an octahedral site."""
PAIR_SPREAD = 0.9545
"""Mean of the two largest of six standard normal deviates."""
NAMES: tuple[str, ...] = ("long", "medium", "short")
"""The pairs, in the order in which they are given."""


@dataclass(frozen=True, eq=False)
class JahnTeller:
    """Long, medium and short lengths of the octahedra, Å, each with its standard error.

    lasting: of lengths averaged over a block of time before they are sorted; instantaneous: sorted
    in every frame; series: (blocks, 3) of the lasting ones, whose drift shows a transition; noise:
    Å, by which the scatter of the bonds' block means alone would part long and short from medium.
    """

    lasting: Estimate
    instantaneous: Estimate
    series: FloatArray
    noise: float


def pair_lengths(lengths: FloatArray) -> FloatArray:
    """(..., 3) Å, means of the two longest, the two middle and the two shortest of six (..., 6)."""
    if lengths.shape[-1] != SITES:
        raise StructureError(
            f"found {lengths.shape[-1]} lengths per site, expected {SITES}: ask for six neighbours"
        )
    pairs = np.sort(lengths, axis=-1).reshape(*lengths.shape[:-1], 3, 2)
    return np.asarray(pairs.mean(axis=-1)[..., ::-1])


def jahn_teller_lengths(lengths: FloatArray, blocks: int = BLOCKS) -> JahnTeller:
    """Long, medium and short lengths from those of lasting bonds, averaged over the sites.

    lengths: (m, sites, 6) Å; blocks: parts of the trajectory, which are also the stretches of time
    that the lasting lengths are averaged over. Raises StructureError unless there are six per site.
    """
    means = block_means(lengths, blocks)
    series = pair_lengths(means).mean(axis=1)
    at_once = block_means(pair_lengths(lengths).mean(axis=1), blocks)
    noise = PAIR_SPREAD * float(means.std(axis=0, ddof=1).mean())
    return JahnTeller(over_blocks(series), over_blocks(at_once), series, noise)

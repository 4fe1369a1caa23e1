"""Randomness of k chains that sums to zero over the chains.

Every chain's normals are N(0, I), yet those of all k sum to zero:

    z_c = sqrt(k / (k - 1)) (x_c - mean of x),  x_1 ... x_k independent N(0, I).

Where a posterior is Gaussian each chain is then an exact sample still, and the mean over chains
the exact mean: it does not scatter by 1/sqrt(k) of the posterior's width, nor by another draw of it
at every update. A chain can tell what the others draw from their seeds, so chains stay independent
tasks. A variance over them with 1/(k - 1) reads k/(k - 1) times too large.

Source: antithetic variates, of which this is the case of k draws: Hammersley, Morton, Proc. Camb.
Philos. Soc. 52, 449 (1956).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class JointDraws:
    """What chain number `chain` draws among `streams`, one stream per chain; every chain makes
    the same calls in the same order. A single stream gives independent draws."""

    streams: tuple[torch.Generator, ...]
    chain: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.chain < len(self.streams):
            raise ValueError(
                f"chain is {self.chain}, expected one of the {len(self.streams)} that have streams"
            )

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Standard normals of this chain, float64."""
        drawn = [torch.randn(tuple(shape), generator=s, dtype=torch.float64) for s in self.streams]
        count = len(drawn)
        if count == 1:
            return drawn[0]
        mean = torch.stack(drawn).mean(0)
        return math.sqrt(count / (count - 1)) * (drawn[self.chain] - mean)

    def uniform(self) -> Tensor:
        """A number in [0, 1), independent of the other chains', float64."""
        drawn = [torch.rand((), generator=s, dtype=torch.float64) for s in self.streams]
        return drawn[self.chain]


def stratified(chain: int, n_chains: int, stream: torch.Generator) -> float:
    """The place of one chain in (0, 1), uniform, when every n_chains-th part has one chain.

    stream: the same for all chains.
    """
    order = torch.randperm(n_chains, generator=stream)
    within = torch.rand(n_chains, generator=stream, dtype=torch.float64)
    return float((order[chain] + within[chain]) / n_chains)

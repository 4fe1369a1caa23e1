"""What a sampler of the exactness table is, and its streams of random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from known_posteriors import KnownPosterior
from torch import Tensor

from bnnflow.bayes import JointDraws


@dataclass(frozen=True, eq=False)
class Sampled:
    """Whitened samples (k, P) and what one of them cost in per-frame gradients."""

    phi: Tensor
    cost: int


class Sampler(Protocol):
    """One update of k chains."""

    def __call__(
        self,
        problem: KnownPosterior,
        chains: int,
        previous: Tensor | None = None,
        update: int = 0,
    ) -> Sampled:
        """previous: samples (k, P) of the update before, which knew the same labels (None: a first
        update); update: its number, which chooses the random numbers."""
        ...


def begin(problem: KnownPosterior, chains: int, previous: Tensor | None) -> Tensor:
    """Where SGHMC starts (k, P): the samples before, or the prior's mean."""
    if previous is None:
        return torch.zeros(chains, len(problem.prior_mean), dtype=torch.float64)
    return previous


def generators(count: int, purpose: int, update: int = 0) -> list[torch.Generator]:
    """One stream per chain, different for every purpose and update."""
    return [_stream(chain, purpose, update) for chain in range(count)]


def _stream(chain: int, purpose: int, update: int) -> torch.Generator:
    return torch.Generator().manual_seed(10_000 * (purpose + 100 * update) + chain)


def joint_draws(
    count: int, purpose: int, update: int = 0, *, together: int = 1
) -> list[JointDraws]:
    """What each chain draws, jointly with the others of its ensemble of `together`."""

    def draws(chain: int) -> JointDraws:
        first = chain - chain % together
        ensemble = range(first, min(first + together, count))
        return JointDraws(tuple(_stream(each, purpose, update) for each in ensemble), chain - first)

    return [draws(chain) for chain in range(count)]


def normal(size: int, draws: list[JointDraws]) -> Tensor:
    """Standard normal numbers (k, size), a row from each chain."""
    return torch.stack([each.normal((size,)) for each in draws])

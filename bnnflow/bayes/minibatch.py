"""Minibatches that favour the newest frame and stay unbiased (METHOD 3, DECISIONS 7).

Frames are drawn independently, with replacement, with probability p_i: the newest one has L times
the weight of the others, L = N / (b - 1), so that it comes about once per batch of b. The sum over
all N frames of any per-frame quantity f_i is estimated by the sum over the draws of f_i / (b p_i),
whose expectation is exact whatever p is. Where the whole data set is no larger than a batch it is
taken whole, with weight one: the same expectation, no variance, and fewer gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Minibatch:
    """index: (k, b) frames of each chain; weight: (k, b), so that sum w f estimates sum f."""

    index: Tensor
    weight: Tensor


class MinibatchSampler:
    """Draws one minibatch per chain from that chain's own stream.

    n_data: N; batch: b; generators: one per chain.
    """

    def __init__(self, *, n_data: int, batch: int, generators: Sequence[torch.Generator]) -> None:
        self.generators = list(generators)
        self.batch = min(batch, n_data)
        self.probability = newest_first_probability(n_data=n_data, batch=batch)
        self.whole = n_data <= batch

    def draw(self) -> Minibatch:
        """The next minibatch of every chain."""
        if self.whole:
            index = torch.arange(self.batch).expand(len(self.generators), -1)
            return Minibatch(index, torch.ones(index.shape))
        rows = [
            torch.multinomial(self.probability, self.batch, replacement=True, generator=generator)
            for generator in self.generators
        ]
        index = torch.stack(rows)
        return Minibatch(index, 1.0 / (self.batch * self.probability[index]))


def newest_first_probability(*, n_data: int, batch: int) -> Tensor:
    """(N,) probability of each draw; the last frame is the newest."""
    weight = torch.ones(n_data)
    if n_data > 1 and batch > 1:
        weight[-1] = max(1.0, n_data / (batch - 1))
    return weight / weight.sum()

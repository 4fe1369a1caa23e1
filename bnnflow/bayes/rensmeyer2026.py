"""Minibatches and noise of the published code, faults included (DECISIONS 5 and 7).

L = N / (b - 1), rounded, further copies of the newest frame lie beside the N frames, and b of the
N + L are drawn with replacement. So the newest comes with probability p = (L + 1) / (N + L), but it
is weighted as if that were q = L / (N + L). Every draw counts, repeated ones too, with weight
1 / (N q); their sum is divided by the number D of distinct frames among them, not by b. On average
the likelihood of the newest frame is thus scaled by 2.672 and that of each other one by 1.503 at
N = 6 and b = 5; by 1.275 and 1.066 at N = 285; by 10 at N = 1. A data set no larger than a batch is
drawn from in the same way.

Measured of the published code: 2.7 and 1.5, 1.27 and 1.07. How N / (b - 1) is rounded is not
stated: 2.7 takes L = 2 at N = 6, and 1.27 is nearest to L = 71 of 71.25 at N = 285, so the nearest
integer, and 1 at least: L = 0 would weigh the newest by 1 / 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bnnflow.bayes.minibatch import Minibatch


class BiasedMinibatchSampler:
    """Draws one minibatch per chain from that chain's own stream, as `MinibatchSampler` does.

    n_data: N; batch: b, 2 or more; generators: one per chain.
    """

    def __init__(self, *, n_data: int, batch: int, generators: Sequence[torch.Generator]) -> None:
        self.generators = list(generators)
        self.batch = batch
        copies = extra_copies(n_data=n_data, batch=batch)
        self.probability = _with_newest(1.0 + copies, n_data) / (n_data + copies)
        self.assumed = _with_newest(copies, n_data) / (n_data + copies)

    def draw(self) -> Minibatch:
        """The next minibatch of every chain."""
        rows = [
            torch.multinomial(self.probability, self.batch, replacement=True, generator=generator)
            for generator in self.generators
        ]
        return self.weighted(torch.stack(rows))

    def weighted(self, index: Tensor) -> Minibatch:
        """Draws (k, b) with their weights 1 / (q D): N times 1 / (N q), over D."""
        return Minibatch(index, 1.0 / (self.assumed[index] * _distinct(index)))


def extra_copies(*, n_data: int, batch: int) -> int:
    """L, how often the newest frame lies beside the others once more."""
    return max(1, round(n_data / (batch - 1)))


def ramp_of_std(temperatures: Tensor) -> Tensor:
    """Noise variance (n_steps,) over the posterior's when the ramp scales the noise's std.

    temperatures: (n_steps,), the ramp from 0 to 1.
    """
    return temperatures.square()


def _with_newest(weight: float, n_data: int) -> Tensor:
    """(N,) ones, `weight` for the last."""
    weights = torch.ones(n_data)
    weights[-1] = weight
    return weights


def _distinct(index: Tensor) -> Tensor:
    """(k, 1): how many different frames each row holds."""
    changes = index.sort(dim=-1).values.diff(dim=-1) != 0
    return 1 + changes.sum(-1, keepdim=True)

"""Half-way states of a sampler, kept so that it can go on where it was interrupted.

The sampler says what its state is; whoever calls it says where and how often that is kept. A
sampler that goes on from a state gives the same bits as one that was never interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

State = Mapping[str, Any]
"""Tensors, numbers and lists of them."""


class Keep(Protocol):
    """Where one sampler's state is kept."""

    def load(self) -> State | None:
        """The state to go on from, None at the beginning."""
        ...

    def offer(self, state: Callable[[], State]) -> None:
        """Keep the state if it is time to; it is made only then."""
        ...


class KeepNothing:
    """Begins at the beginning, and forgets."""

    def load(self) -> State | None:
        """None."""
        return None

    def offer(self, state: Callable[[], State]) -> None:
        """Nothing."""


def generator_states(generators: Sequence[torch.Generator]) -> list[Tensor]:
    """Where streams of randomness are."""
    return [generator.get_state() for generator in generators]


def set_generator_states(generators: Sequence[torch.Generator], states: Sequence[Tensor]) -> None:
    """Put streams of randomness back there."""
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)

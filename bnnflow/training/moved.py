"""What an update makes of its chains, and the streams of randomness that it draws from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Moved:
    """position: (k, n_active) new samples; kinetic_temperature, acceptance, held_in_change: (k,),
    see `records.SampleResult`; gradients: (k,) of one frame each, that a chain took."""

    position: Tensor
    kinetic_temperature: Tensor
    acceptance: Tensor
    held_in_change: Tensor
    gradients: Tensor


def stream(seed: int, *names: str | int) -> torch.Generator:
    """A generator of its own for each purpose: the same names give the same stream anywhere."""
    text = ":".join(str(part) for part in (seed, *names))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)

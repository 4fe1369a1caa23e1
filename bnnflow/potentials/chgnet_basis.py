"""What CHGNet sees of lengths and angles: smooth Bessel functions and a Fourier series.

Source: Deng et al., Nature Machine Intelligence 5, 1031 (2023), equations 1 to 4; the envelope is
GemNet's. Frequencies are parameters. Every basis has one function more than CHGNet's, which is
zero: rows of 32 numbers stay aligned.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

COSINE = 1.0 - 1e-6
"""Factor of a cosine, so that its arc is differentiable at 0 and 180 degrees."""


def radial(lengths: Tensor, frequencies: Tensor, *, cutoff: float, envelope: int) -> Tensor:
    """Bessel functions (k, ..., n + 1) of lengths (k, ..., 1) Å, zero from the cutoff on.

    frequencies: (k, n); envelope: the exponent p of the polynomial that brings them to zero.
    """
    x = lengths / cutoff
    by_member = _padded(frequencies).view(len(x), *(1 for _ in x.shape[1:-1]), -1)
    amplitude = _envelope(x, envelope) / lengths * math.sqrt(2.0 / cutoff)
    return amplitude * torch.sin(by_member * x)


def _envelope(x: Tensor, p: int) -> Tensor:
    a, b, c = -0.5 * (p + 1) * (p + 2), p * (p + 2), -0.5 * p * (p + 1)
    return torch.where(x < 1.0, 1.0 + x**p * (a + x * (b + c * x)), torch.zeros_like(x))


def angular(directions: Tensor, frequencies: Tensor) -> Tensor:
    """Fourier series (k, R, b, 2 n + 2) of the angles between b directions.

    directions: (k, N, b, 3) unit vectors, R = N b; frequencies: (k, n).
    """
    cosines = (directions @ directions.transpose(-1, -2)).flatten(1, 2)
    angles = torch.acos(COSINE * cosines).unsqueeze(-1)
    phases = angles * frequencies[:, None, None, :]
    constant = torch.full_like(angles, math.sqrt(0.5))
    series = [constant, phases.sin(), phases.cos(), torch.zeros_like(angles)]
    return torch.cat(series, dim=-1) / math.sqrt(math.pi)


def _padded(values: Tensor) -> Tensor:
    return torch.nn.functional.pad(values, (0, 1))

"""Stochastic-gradient Hamiltonian Monte Carlo with an AMSGrad mass (METHOD 3).

With g the minibatch gradient of the negative log posterior divided by N,

    v <- beta v + (1 - beta) g^2          second moment
    m <- max(m, v)                        its running maximum
    M = sqrt(m / (1 - beta^t)) + eps     mass
    p <- (1 - a) p - a g + a n,           n ~ N(0, 2 T M / (lr N))
    theta <- theta + lr p / M

    symbol   variable          symbol   variable
    theta    position          a        friction
    p        momentum          lr       step_size
    v        second_moment     beta     decay
    m        maximum           T        temperature (1: the posterior; 0: no noise)

Chains are the leading axis. A stationary chain's kinetic temperature reads 1 / (1 - a/2), not 1:
that is this integrator's, not an error of the chain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(eq=False)
class State:
    """k chains: every tensor is (k, P) and is updated in place; steps counts mass updates."""

    position: Tensor
    momentum: Tensor
    second_moment: Tensor
    maximum: Tensor
    steps: int = 0


def init(position: Tensor) -> State:
    """Chains at rest at `position` (k, P), with no mass estimate yet."""
    momentum, second_moment, maximum = (torch.zeros_like(position) for _ in range(3))
    return State(position.clone(), momentum, second_moment, maximum)


def update_mass(state: State, gradient: Tensor, *, decay: float) -> None:
    """Take one gradient (k, P) into the second moment and its running maximum."""
    state.second_moment.mul_(decay).addcmul_(gradient, gradient, value=1.0 - decay)
    torch.maximum(state.maximum, state.second_moment, out=state.maximum)
    state.steps += 1


def mass(state: State, *, decay: float, epsilon: float) -> Tensor:
    """M (k, P), bias-corrected for the steps taken so far."""
    scale = 1.0 / math.sqrt(1.0 - decay**state.steps)
    return state.maximum.sqrt().mul_(scale).add_(epsilon)


def update(
    state: State,
    gradient: Tensor,
    *,
    mass: Tensor,
    noise: Tensor,
    step_size: float,
    temperature: float,
    friction: float,
    n_data: int,
) -> None:
    """Move every chain one step, in place.

    gradient: (k, P), divided by N; mass: M (k, P); noise: (k, P) standard normal; step_size: lr;
    n_data: N.
    """
    if temperature > 0.0:
        std = mass.mul(2.0 * temperature / (step_size * n_data)).sqrt_()
        state.momentum.lerp_(std.mul_(noise).sub_(gradient), friction)
    else:
        state.momentum.mul_(1.0 - friction).sub_(gradient, alpha=friction)
    state.position.addcdiv_(state.momentum, mass, value=step_size)


def kinetic_temperature(
    state: State, *, mass: Tensor, step_size: float, friction: float, n_data: int
) -> Tensor:
    """(k,) mean of p^2 lr M^-1 N / a over the parameters."""
    squares = state.momentum.square() / mass
    return squares.mean(-1) * (step_size * n_data / friction)

"""Hamiltonian Monte Carlo around a Gaussian that is already close.

The target exp(-U(phi)) is written as a Gaussian N(mu, C) times what is left. Velocities come from
N(0, C); the Gaussian part of the motion, a rotation of (phi - mu, v), is exact, and only what is
left is integrated in steps, so that a Gaussian target is sampled at any step size in any dimension:

    v <- v - (h/2) [C grad U(phi) - (phi - mu)]
    (phi - mu, v) <- rotated by the angle h
    v <- v - (h/2) [C grad U(phi) - (phi - mu)]

H = U(phi) + v^T C^-1 v / 2 decides in a Metropolis test, which makes the result exact whatever
Gaussian was used. Step sizes adapt to the acceptance in the first half and are fixed in the
second. Every chain has its own Gaussian, step size and draws.

Source: Beskos, Pinski, Sanz-Serna, Stuart, Stoch. Proc. Appl. 121, 2201 (2011); the Gaussian is a
Laplace approximation as in Bui-Thanh, Girolami, Inverse Problems 30, 114014 (2014).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from bnnflow.bayes.choose import choose
from bnnflow.bayes.joint import JointDraws
from bnnflow.bayes.keep import (
    Keep,
    KeepNothing,
    State,
    generator_states,
    set_generator_states,
)
from bnnflow.bayes.lowrank import LowRankMetric

Density = Callable[[Tensor], tuple[Tensor, Tensor]]
"""phi (k, P) to U (k,) and its gradient (k, P), float64; not finite where there is no density."""

TARGET_ACCEPTANCE = 0.8
FIRST_STEP = 0.1
"""Angle of the first trajectory's steps, radians."""
ADAPTATION_RATE = 1.0
"""Change of log(step size) per trajectory and unit of acceptance, at first; falls as 1/sqrt(n)."""


_TENSORS = ("position", "velocity", "potential", "gradient")
_SERIES = ("accepted", "kinetic", "tried")


@dataclass(frozen=True, eq=False)
class HmcReport:
    """position (k, P); acceptance (k,), mean probability over the second half; step_size (k,);
    kinetic_temperature (k,): v^T C^-1 v / P at the ends of trajectories, 1 when stationary."""

    position: Tensor
    acceptance: Tensor
    step_size: Tensor
    kinetic_temperature: Tensor


@dataclass(frozen=True, eq=False)
class _State:
    """phi and v (k, P), U (k,), grad U (k, P)."""

    position: Tensor
    velocity: Tensor
    potential: Tensor
    gradient: Tensor


def run_hmc(
    density: Density,
    start: Tensor,
    metric: LowRankMetric,
    *,
    trajectories: int,
    leapfrog_steps: int,
    draws: Sequence[JointDraws],
    keep: Keep | None = None,
) -> HmcReport:
    """Move k chains from `start` (k, P) by some trajectories of some steps each.

    Costs one gradient per step and one more. draws: one per chain; keep: where states are kept,
    and one to go on from.
    """
    keep = keep or KeepNothing()
    streams = [each for chain in draws for each in chain.streams]
    kept = keep.load() or _first(density, start, metric)
    if "generators" in kept:
        set_generator_states(streams, kept["generators"])
    state = _State(*(kept[name].to(start.device) for name in _TENSORS))
    centre, log_step = (kept[name].to(start.device) for name in ("centre", "log_step"))
    accepted, kinetic, tried = ([each.to(start.device) for each in kept[name]] for name in _SERIES)
    energy = state.potential
    longest = math.log(0.5 * math.pi / leapfrog_steps)
    for number in range(kept["trajectories"], trajectories):
        velocity = metric.draw(_normal(start, draws), _normal(metric.cholesky[..., 0], draws))
        state = _State(state.position, velocity, state.potential, state.gradient)
        proposal = _trajectory(
            density, state, metric, centre, step=log_step.exp(), n_steps=leapfrog_steps
        )
        probability = _probability(state, proposal, metric)
        state = choose(_uniform(probability, draws) < probability, proposal, state)
        kinetic.append(2.0 * _kinetic(state, metric) / start.shape[-1])
        if 2 * number < trajectories:
            rate = ADAPTATION_RATE / math.sqrt(number + 1)
            log_step = (log_step + rate * (probability - TARGET_ACCEPTANCE)).clamp(max=longest)
            tried.append(log_step)
        else:
            # The last step size is as noisy as one acceptance; the mean of the later ones is not.
            log_step = torch.stack(tried[len(tried) // 2 :]).mean(0)
            accepted.append(probability)
        so_far = {
            **{name: getattr(state, name) for name in _TENSORS},
            **dict(zip(_SERIES, (accepted, kinetic, tried), strict=True)),
            **{"centre": centre, "log_step": log_step, "trajectories": number + 1},
        }
        keep.offer(partial(_with_streams, so_far, streams))
    return HmcReport(
        state.position,
        torch.stack(accepted).mean(0) if accepted else torch.full_like(energy, torch.nan),
        log_step.exp(),
        torch.stack(kinetic[len(kinetic) // 2 :]).mean(0) if kinetic else energy * torch.nan,
    )


def _first(density: Density, start: Tensor, metric: LowRankMetric) -> State:
    """The state before the first trajectory."""
    energy, slope = density(start)
    log_step = torch.full((len(start),), math.log(FIRST_STEP), dtype=torch.float64).to(energy)
    return {
        "position": start,
        "velocity": torch.zeros_like(start),
        "potential": energy,
        "gradient": slope,
        "centre": start - metric.covariance(slope),
        "log_step": log_step,
        **dict.fromkeys(_SERIES, ()),
        "trajectories": 0,
    }


def _with_streams(state: State, streams: Sequence[torch.Generator]) -> State:
    """What is kept: the state, and where its randomness is."""
    return {**state, "generators": generator_states(streams)}


def _trajectory(
    density: Density,
    state: _State,
    metric: LowRankMetric,
    centre: Tensor,
    *,
    step: Tensor,
    n_steps: int,
) -> _State:
    step = step.unsqueeze(-1)
    offset, velocity, slope = state.position - centre, state.velocity, state.gradient
    energy = state.potential
    kick = 0.5 * step * (metric.covariance(slope) - offset)  # less the Gaussian part
    for _ in range(n_steps):
        velocity = velocity - kick
        offset, velocity = (
            offset * step.cos() + velocity * step.sin(),
            velocity * step.cos() - offset * step.sin(),
        )
        energy, slope = density(centre + offset)
        kick = 0.5 * step * (metric.covariance(slope) - offset)
        velocity = velocity - kick
    return _State(centre + offset, velocity, energy, slope)


def _kinetic(state: _State, metric: LowRankMetric) -> Tensor:
    """v^T C^-1 v / 2 (k,)."""
    rows = metric.push(state.velocity)
    return 0.5 * (state.velocity.square().sum(-1) + rows.square().sum(-1))


def _probability(old: _State, new: _State, metric: LowRankMetric) -> Tensor:
    """min(1, exp(H_old - H_new)) (k,); 0 where the proposal is not finite."""
    before = old.potential + _kinetic(old, metric)
    after = new.potential + _kinetic(new, metric)
    return (before - after).clamp(max=0.0).exp().nan_to_num(0.0)


def _normal(like: Tensor, draws: Sequence[JointDraws]) -> Tensor:
    return torch.stack([each.normal(like.shape[1:]) for each in draws]).to(like)


def _uniform(like: Tensor, draws: Sequence[JointDraws]) -> Tensor:
    return torch.stack([each.uniform() for each in draws]).to(like)

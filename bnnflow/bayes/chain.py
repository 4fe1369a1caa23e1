"""Runs k chains together through one schedule, each on its own streams of randomness.

Noise and minibatches of a chain come from its own generators, so a chain sees the same draws
whichever other chains share its task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from bnnflow.bayes import sghmc
from bnnflow.bayes.keep import (
    Keep,
    KeepNothing,
    State,
    generator_states,
    set_generator_states,
)
from bnnflow.bayes.minibatch import Minibatch, MinibatchSampler
from bnnflow.errors import NonFiniteError

Gradient = Callable[[Tensor, Minibatch], Tensor]
"""(theta (k, P), minibatch) to the gradient (k, P) of the negative log posterior, divided by N."""


class Minibatches(Protocol):
    """Where the minibatches of all chains come from, one after the other."""

    def draw(self) -> Minibatch:
        """The next minibatch of every chain."""
        ...


SMALLEST_SHARE = 0.01
"""Steps below this share of the first step size do not count for the kinetic temperature: the
momenta they start from belong to larger steps."""
CHECK_EVERY = 50
"""Steps between two looks for numbers that are not finite (a look waits for the device)."""
_TENSORS = ("position", "momentum", "second_moment", "maximum")


@dataclass(frozen=True, eq=False)
class ChainReport:
    """Where the chains ended: position (k, P); kinetic_temperature (k,), averaged over the steps
    at full noise (NaN when there are none)."""

    position: Tensor
    kinetic_temperature: Tensor


def run_chains(
    start: Tensor,
    gradient: Gradient,
    *,
    n_data: int,
    batch: int,
    step_sizes: Tensor,
    temperatures: Tensor,
    friction: float,
    decay: float,
    epsilon: float,
    freeze_mass_at: int,
    noise_generators: Sequence[torch.Generator],
    batch_generators: Sequence[torch.Generator],
    minibatches: Callable[..., Minibatches] = MinibatchSampler,
    keep: Keep | None = None,
) -> ChainReport:
    """Sample one position per chain.

    start: (k, P); n_data: N; batch: b; step_sizes, temperatures: (n_steps,); freeze_mass_at:
    first step that leaves the mass as it is; minibatches: made with n_data, batch, generators;
    keep: where states are kept, and one to go on from. Raises NonFiniteError when a chain leaves
    the finite numbers.
    """
    keep = keep or KeepNothing()
    generators = [*noise_generators, *batch_generators]
    state, kinetic, first = _begin(start, keep.load(), generators)
    draws = minibatches(n_data=n_data, batch=batch, generators=batch_generators)
    noise = torch.empty_like(start)
    mass = torch.ones_like(start)
    if state.steps:
        mass = sghmc.mass(state, decay=decay, epsilon=epsilon)
    for step, (step_size, temperature) in enumerate(
        zip(step_sizes.tolist(), temperatures.tolist(), strict=True)
    ):
        if step < first:
            continue
        slope = gradient(state.position, draws.draw())
        if step < freeze_mass_at:
            sghmc.update_mass(state, slope, decay=decay)
            mass = sghmc.mass(state, decay=decay, epsilon=epsilon)
        _draw(noise, noise_generators)
        sghmc.update(
            state,
            slope,
            mass=mass,
            noise=noise,
            step_size=step_size,
            temperature=temperature,
            friction=friction,
            n_data=n_data,
        )
        if temperature == 1.0 and step_size > SMALLEST_SHARE * float(step_sizes[0]):
            kinetic.append(_kinetic(state, mass, step_size, friction, n_data))
        if step % CHECK_EVERY == 0:
            _check(state.position, step)
            keep.offer(partial(_snapshot, state, kinetic, step + 1, generators))
    _check(state.position, len(step_sizes))
    mean = torch.stack(kinetic).mean(0) if kinetic else start.new_full((len(start),), torch.nan)
    return ChainReport(state.position, mean)


def _begin(
    start: Tensor, kept: State | None, generators: Sequence[torch.Generator]
) -> tuple[sghmc.State, list[Tensor], int]:
    """State, kinetic temperatures so far, and the step to take next."""
    if kept is None:
        return sghmc.init(start), [], 0
    set_generator_states(generators, kept["generators"])
    tensors = {name: kept[name].to(start) for name in _TENSORS}
    return sghmc.State(**tensors, steps=kept["updates"]), list(kept["kinetic"]), kept["step"]


def _snapshot(
    state: sghmc.State, kinetic: Sequence[Tensor], step: int, generators: Sequence[torch.Generator]
) -> State:
    return {
        **{name: getattr(state, name) for name in _TENSORS},
        "updates": state.steps,
        "kinetic": list(kinetic),
        "step": step,
        "generators": generator_states(generators),
    }


def _draw(noise: Tensor, generators: Sequence[torch.Generator]) -> None:
    for row, generator in zip(noise, generators, strict=True):
        torch.randn(row.shape, generator=generator, out=row)


def _kinetic(
    state: sghmc.State, mass: Tensor, step_size: float, friction: float, n_data: int
) -> Tensor:
    return sghmc.kinetic_temperature(
        state, mass=mass, step_size=step_size, friction=friction, n_data=n_data
    )


def _check(position: Tensor, step: int) -> None:
    finite = torch.isfinite(position).all(-1)
    if not bool(finite.all()):
        chains = (~finite).nonzero().flatten().tolist()
        raise NonFiniteError(
            f"chains {chains} of this task are not finite at step {step}: expected finite "
            "parameters; use a smaller step size"
        )

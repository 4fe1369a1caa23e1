"""One posterior update: some chains of the ensemble, from their last samples to new ones."""

from __future__ import annotations

import hashlib
import platform
import time
from pathlib import Path

import torch

from bnnflow.bayes import (
    ChainReport,
    GaussianPrior,
    cosine_step_sizes,
    noise_temperatures,
    run_chains,
)
from bnnflow.potentials import Potential, load_potential
from bnnflow.potentials.ensemble import load_member, member_path, save_member
from bnnflow.records import Label, SampleRequest, SampleResult
from bnnflow.training.posterior import LabelledSet, Posterior


def sample(request: SampleRequest, labels: list[Label]) -> SampleResult:
    """Advance the chains of a request by one update and write them to its directory.

    labels: the data set, oldest first. Raises NonFiniteError when a chain diverges.
    """
    began = time.monotonic()
    potential = load_potential(request.potential)
    posterior = _posterior(request, potential, labels)
    start = _start(request, potential).to(posterior.base.device)
    report = _run(request, posterior, start[:, posterior.active])
    directory = Path(request.directory)
    directory.mkdir(parents=True, exist_ok=True)
    for chain, values in zip(request.chains, report.position, strict=True):
        save_member(member_path(request.directory, chain), active=posterior.active, values=values)
    energy, force = posterior.errors(report.position)
    return SampleResult(
        version=request.version,
        chains=request.chains,
        kinetic_temperature=tuple(report.kinetic_temperature.tolist()),
        energy_rmse=tuple(energy.tolist()),
        force_rmse=tuple(force.tolist()),
        seconds=time.monotonic() - began,
        host=platform.node(),
    )


def stream(seed: int, *names: str | int) -> torch.Generator:
    """A generator of its own for each purpose: the same names give the same stream anywhere."""
    text = ":".join(str(part) for part in (seed, *names))
    digest = hashlib.sha256(text.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _posterior(request: SampleRequest, potential: Potential, labels: list[Label]) -> Posterior:
    elements = sorted({int(z) for label in labels for z in label.structure.numbers})
    device = torch.device(request.potential.device)
    mean = potential.prior_mean().to(device)
    active = potential.active(tuple(elements)).to(device)
    return Posterior(
        potential=potential,
        data=LabelledSet.of(potential, labels, energy_shift=request.energy_shift).to(device),
        base=mean,
        active=active,
        prior=GaussianPrior(mean[active], request.prior_std),
        energy_std=request.energy_std,
    )


def _start(request: SampleRequest, potential: Potential) -> torch.Tensor:
    """(k, P): the chains' previous samples, or the pre-trained weights with new heads."""
    previous = request.previous
    if previous is None:
        heads = [stream(request.seed, "head", chain) for chain in request.chains]
        return torch.stack([potential.start(generator) for generator in heads])
    return torch.stack(
        [load_member(request.potential, previous, chain) for chain in request.chains]
    )


def _run(request: SampleRequest, posterior: Posterior, start: torch.Tensor) -> ChainReport:
    schedule = request.schedule
    noise_free = round(schedule.noise_free_fraction * schedule.steps)
    return run_chains(
        start,
        posterior.gradient,
        n_data=len(posterior.data),
        batch=schedule.batch,
        step_sizes=cosine_step_sizes(n_steps=schedule.steps, initial=schedule.step_size),
        temperatures=noise_temperatures(
            n_steps=schedule.steps,
            noise_free=noise_free,
            ramp=round(schedule.ramp_fraction * schedule.steps),
        ),
        friction=schedule.friction,
        decay=schedule.second_moment_decay,
        epsilon=schedule.epsilon,
        # The first step has to set the mass, whatever follows.
        freeze_mass_at=max(1, round(schedule.freeze_mass_fraction * schedule.steps)),
        noise_generators=[_chain_stream(request, "noise", chain) for chain in request.chains],
        batch_generators=[_chain_stream(request, "batch", chain) for chain in request.chains],
    )


def _chain_stream(request: SampleRequest, purpose: str, chain: int) -> torch.Generator:
    return stream(request.seed, purpose, request.version, chain)

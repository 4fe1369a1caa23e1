"""An update by SGHMC on minibatches, as published (METHOD 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from bnnflow.bayes import (
    BiasedMinibatchSampler,
    MinibatchSampler,
    ramp_of_std,
    run_chains,
    sghmc_schedule,
)
from bnnflow.records import SampleRequest, ScheduleSpec
from bnnflow.training.moved import Moved, stream
from bnnflow.training.posterior import Posterior
from bnnflow.training.waypoints import Waypoints
from bnnflow.training.whitened import WhitenedPosterior


def sghmc_update(
    request: SampleRequest,
    schedule: ScheduleSpec,
    posterior: Posterior,
    start: Tensor,
    waypoints: Waypoints,
) -> Moved:
    """Move chains (k, n_active) from `start` through the schedule.

    waypoints: half-done work of this request. Raises NonFiniteError when one diverges.
    """
    plan = sghmc_schedule(
        n_steps=schedule.steps,
        initial=schedule.step_size,
        noise_free_fraction=schedule.noise_free_fraction,
        ramp_fraction=schedule.ramp_fraction,
        freeze_mass_fraction=schedule.freeze_mass_fraction,
    )
    faults = request.faults
    report = run_chains(
        start,
        posterior.gradient,
        n_data=len(posterior.data),
        batch=schedule.batch,
        step_sizes=plan.step_sizes,
        temperatures=ramp_of_std(plan.temperatures) if faults.ramp_of_std else plan.temperatures,
        freeze_mass_at=plan.freeze_mass_at,
        friction=schedule.friction,
        decay=schedule.second_moment_decay,
        epsilon=schedule.epsilon,
        noise_generators=[_chain_stream(request, "noise", chain) for chain in request.chains],
        batch_generators=[_chain_stream(request, "batch", chain) for chain in request.chains],
        minibatches=BiasedMinibatchSampler if faults.biased_minibatch else MinibatchSampler,
        keep=waypoints.at("sghmc"),
    )
    whole = WhitenedPosterior(posterior)
    frames = schedule.batch if faults.biased_minibatch else min(schedule.batch, whole.n_frames)
    change = whole.change(whole.phi(start), whole.phi(report.position), request.n_known)
    return Moved(
        position=report.position,
        kinetic_temperature=report.kinetic_temperature,
        acceptance=torch.full_like(report.kinetic_temperature, torch.nan),
        held_in_change=change,
        gradients=torch.full((len(start),), schedule.steps * frames),
    )


def _chain_stream(request: SampleRequest, purpose: str, chain: int) -> torch.Generator:
    return stream(request.seed, purpose, request.version, chain)

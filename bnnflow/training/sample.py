"""One posterior update: some chains of the ensemble, from their last samples to new ones."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from bnnflow.bayes import GaussianPrior
from bnnflow.errors import NonFiniteError
from bnnflow.potentials import Potential, load_potential
from bnnflow.potentials.ensemble import load_member, member_path, save_member
from bnnflow.records import Label, RtoSpec, SampleRequest, SampleResult
from bnnflow.training.compositions import one_of_each
from bnnflow.training.moved import Moved, stream
from bnnflow.training.posterior import LabelledSet, Posterior
from bnnflow.training.prior_shape import prior_shape
from bnnflow.training.rto_update import rto_update
from bnnflow.training.sghmc_update import sghmc_update
from bnnflow.training.still_atoms import without_still_atoms
from bnnflow.training.waypoints import Waypoints
from bnnflow.units import FORCE_STD_START


def sample(request: SampleRequest, labels: list[Label]) -> SampleResult:
    """Advance the chains of a request by one update and write them to its directory.

    labels: the data set, oldest first. A request that was interrupted goes on from its waypoints,
    to the same bits. Raises NonFiniteError when a chain diverges, SamplerError
    when the update does not fit into memory.
    """
    began = time.monotonic()
    potential = load_potential(request.potential)
    posterior = posterior_of(request, potential, labels)
    waypoints = Waypoints(request)
    try:
        moved = _move(request, potential, posterior, waypoints)
        _require_finite(request.chains, moved.position)
        energy, force = posterior.errors(moved.position)
        _require_finite(request.chains, energy, force)
    except NonFiniteError:
        waypoints.clear()  # what led there is of no use to another attempt
        raise
    directory = Path(request.directory)
    directory.mkdir(parents=True, exist_ok=True)
    for chain, values in zip(request.chains, moved.position, strict=True):
        save_member(member_path(request.directory, chain), active=posterior.active, values=values)
    waypoints.clear()
    return SampleResult(
        version=request.version,
        chains=request.chains,
        kinetic_temperature=tuple(moved.kinetic_temperature.tolist()),
        energy_rmse=tuple(energy.tolist()),
        force_rmse=tuple(force.tolist()),
        acceptance=tuple(moved.acceptance.tolist()),
        held_in_change=tuple(moved.held_in_change.tolist()),
        seconds=time.monotonic() - began,
        host=platform.node(),
        gradients=int(moved.gradients.max()),
    )


def _move(
    request: SampleRequest, potential: Potential, posterior: Posterior, waypoints: Waypoints
) -> Moved:
    previous = _previous(request, posterior)
    if isinstance(request.schedule, RtoSpec):
        return rto_update(request, request.schedule, posterior, previous, waypoints)
    heads = [stream(request.seed, "head", chain) for chain in request.chains]
    start = torch.stack([potential.start(generator) for generator in heads])
    start = start.to(posterior.base.device)[:, posterior.active]
    for row, chain in enumerate(request.chains):
        if previous is not None and chain not in request.fresh:
            start[row] = previous[row]
    return sghmc_update(request, request.schedule, posterior, start, waypoints)


def _require_finite(chains: Sequence[int], *values: torch.Tensor) -> None:
    """Raises NonFiniteError naming the chains that hold a number that is not finite.

    values: (k, ...) each. No such chain may become a member of an ensemble.
    """
    finite = [torch.isfinite(value).reshape(len(chains), -1).all(1) for value in values]
    broken = [
        chain for chain, good in zip(chains, torch.stack(finite).all(0), strict=True) if not good
    ]
    if broken:
        raise NonFiniteError(
            f"chains {broken} ended with parameters or predictions that are not finite: expected "
            "finite numbers"
        )


def posterior_of(request: SampleRequest, potential: Potential, labels: list[Label]) -> Posterior:
    """What the chains of a request sample, given labels, oldest first."""
    elements = sorted({int(z) for label in labels for z in label.structure.numbers})
    device = torch.device(request.potential.device)
    mean = potential.prior_mean().to(device)
    active = potential.active(tuple(elements)).to(device)
    if request.faults.absent_elements:
        active = torch.ones_like(active)
    heads = potential.heads().to(device)
    std = torch.where(heads, request.head_prior_std or request.prior_std, request.prior_std)
    if isinstance(request.schedule, RtoSpec):
        materials = one_of_each([label.structure for label in labels])
        shape = prior_shape(potential, materials, power=request.schedule.prior_power)
        std = std * shape.to(std)
        scale = potential.force_scale().to(device)
        std[scale] = math.log(request.schedule.force_std_factor)
        mean = torch.where(scale, math.log(request.schedule.force_std / FORCE_STD_START), mean)
    return Posterior(
        potential=potential,
        data=_data(request, potential, labels),
        base=mean,
        active=active,
        prior=GaussianPrior.of(mean[active], std[active]),
        energy_std=_of_labels(request.energy_std, mean),
        off_diagonal_count=request.faults.off_diagonal_count,
    )


def _of_labels(value: float | tuple[float, ...], like: torch.Tensor) -> float | torch.Tensor:
    """A number for all labels as it is, one for each as a tensor."""
    return like.new_tensor(value) if isinstance(value, tuple) else value


def _data(request: SampleRequest, potential: Potential, labels: list[Label]) -> LabelledSet:
    """The labels on the device of the request."""
    data = LabelledSet.of(
        potential,
        labels,
        energy_shift=request.energy_shift,
        float32_energies=request.faults.float32_energies,
    ).to(torch.device(request.potential.device))
    rto = isinstance(request.schedule, RtoSpec)
    return without_still_atoms(data, potential) if rto else data


def _previous(request: SampleRequest, posterior: Posterior) -> torch.Tensor | None:
    """(k, n_active): the chains' last samples, None before the first update."""
    ensemble = request.previous
    if ensemble is None:
        return None
    members = [load_member(request.potential, ensemble, chain) for chain in request.chains]
    return torch.stack(members).to(posterior.base.device)[:, posterior.active]

"""What a merged posterior is made of: labels of many runs on one energy scale, and its prior."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnnflow.config.sections import SamplerConfig
from bnnflow.errors import SamplerError
from bnnflow.potentials.registry import load_potential
from bnnflow.records import (
    EnsembleRef,
    Label,
    PotentialSpec,
    Prediction,
    SampleRequest,
    SampleResult,
)
from bnnflow.training.compositions import joint_shifts, one_of_each
from bnnflow.training.jacobian_memory import GIB, LARGEST_JACOBIAN, rows_per_frame
from bnnflow.training.prior_scale import SuggestedPrior, suggest_prior_std
from bnnflow.units import from_kcal_per_mol
from workflows.merge_sources import Source

FAR_OFF = 10.0
"""Times the chains' median error on the labels at which a chain has not found them."""


@dataclass(frozen=True, eq=False)
class MergedData:
    """The labels that are learned from, run by run.

    energy_shifts, energy_stds: eV, one per label: of its composition, and 0.1 K of its run; prior:
    widths found on one structure of every composition.
    """

    labels: tuple[Label, ...]
    directories: tuple[str, ...]
    energy_shifts: tuple[float, ...]
    energy_stds: tuple[float, ...]
    prior: SuggestedPrior

    def request(
        self, spec: PotentialSpec, section: SamplerConfig, ensemble: EnsembleRef, *, seed: int
    ) -> SampleRequest:
        """All chains of the posterior, from draws of the prior; tasks take some of them each."""
        return SampleRequest(
            potential=spec,
            previous=None,
            chains=tuple(range(ensemble.n_members)),
            n_members=ensemble.n_members,
            version=ensemble.version,
            labels=self.directories,
            energy_shift=_one_or_each(self.energy_shifts),
            energy_std=_one_or_each(self.energy_stds),
            prior_std=self.prior.std,
            schedule=section.record(),
            seed=seed,
            directory=ensemble.directory,
            head_prior_std=self.prior.head_std,
        )


def merged_data(
    sources: Sequence[Source],
    foundation: Sequence[Sequence[Prediction]],
    section: SamplerConfig,
    spec: PotentialSpec,
) -> MergedData:
    """Put the labels of the runs that are not held out together.

    foundation: its predictions of every label of every run, held out or not.
    """
    learned = [pair for pair in zip(sources, foundation, strict=True) if not pair[0].held_out]
    labels = tuple(label for source, _ in learned for label in source.labels)
    structures = [label.structure for label in labels]
    predicted = [each.energy for _, found in learned for each in found]
    shifts = joint_shifts(structures, predicted, [label.energy for label in labels])
    prior = suggest_prior_std(
        load_potential(replace(spec, device="cpu")),
        one_of_each(structures),
        force_spread=from_kcal_per_mol(section.prior_force_spread_kcal_per_mol_A),
        power=section.prior_power,
    )
    return MergedData(
        labels=labels,
        directories=tuple(path for source, _ in learned for path in source.directories),
        energy_shifts=tuple(shifts.tolist()),
        energy_stds=tuple(source.run.floor for source, _ in learned for _ in source.labels),
        prior=prior,
    )


def found_the_labels(results: Sequence[SampleResult]) -> tuple[int, ...]:
    """The chains whose errors on their labels are like most chains': one that a search left far
    off is no sample, and would spoil the mean of all."""
    chains = [chain for result in results for chain in result.chains]
    energy = np.array([value for result in results for value in result.energy_rmse])
    force = np.array([value for result in results for value in result.force_rmse])
    usual = (energy <= FAR_OFF * np.median(energy)) & (force <= FAR_OFF * np.median(force))
    return tuple(chain for chain, kept in zip(chains, usual, strict=True) if kept)


def require_room(sources: Sequence[Source], spec: PotentialSpec) -> None:
    """Raises SamplerError, with how many labels fit, where a chain's Jacobian would not."""
    labels = [label for source in sources if not source.held_out for label in source.labels]
    n_atoms = max(len(label.structure) for label in labels)
    elements = sorted({int(z) for label in labels for z in label.structure.numbers})
    potential = load_potential(replace(spec, device="cpu"))
    n_active = int(potential.active(tuple(elements)).sum())
    stress = any(label.stress is not None for label in labels)
    size = rows_per_frame(n_atoms, stress=stress) * n_active * potential.dtype.itemsize
    room = LARGEST_JACOBIAN // size
    if len(labels) > room:
        raise SamplerError(
            f"the Jacobian of {len(labels)} labels of up to {n_atoms} atoms by {n_active} "
            f"parameters takes {len(labels) * size / GIB:.1f} GiB per chain, expected at most "
            f"{LARGEST_JACOBIAN / GIB:g}: {room} labels fit, choose fewer with --most-labels"
        )


def _one_or_each(values: tuple[float, ...]) -> float | tuple[float, ...]:
    """One number where all labels have the same: a single run's request is its own then."""
    return values[0] if len(set(values)) == 1 else values

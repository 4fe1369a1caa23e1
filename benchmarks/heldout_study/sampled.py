"""bnnflow's own posterior chains, through the same `sample` that a run on the fly calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bnnflow.config.defaults import fill_defaults
from bnnflow.config.sections import SamplerConfig
from bnnflow.records import (
    Faults,
    Label,
    RtoSpec,
    SampleRequest,
    ScheduleSpec,
    Structure,
)
from bnnflow.training.prior_scale import suggest_prior_std
from bnnflow.training.sample import sample
from bnnflow.units import from_kcal_per_mol
from heldout_study.method import Fit, Step
from heldout_study.setting import Setting

SAMPLED: Mapping[str, Mapping[str, Any]] = {
    "published": {"schedule": "published"},
    "compat": {"schedule": "published"},
    "rto": {"schedule": "rto"},
}
"""Method -> section `sampler` of a config. Steps, batch and chains come from the setting."""

PRESETS: Mapping[str, str] = {"compat": "rensmeyer2026"}
"""Method -> the config's `compat`."""

FORCE_SPREAD = from_kcal_per_mol(
    SamplerConfig.model_fields["prior_force_spread_kcal_per_mol_A"].default
)
"""eV/Å, which sets the prior of rto."""


@dataclass(frozen=True)
class Sampled:
    """Chains with the sampler section of a config, and its `compat`; each update starts from the
    last samples."""

    setting: Setting
    section: Mapping[str, Any]
    compat: str | None = None
    sequential: bool = True

    def schedule(self) -> ScheduleSpec | RtoSpec:
        """The schedule with every number explicit, as the config resolves it."""
        budget = {"steps": self.setting.steps, "batch": self.setting.batch}
        if self.section["schedule"] == "rto":
            budget = {}
        section = {**self.section, **budget}
        filled = fill_defaults({"sampler": section, "compat": self.compat})
        spec = SamplerConfig.model_validate(filled["sampler"]).record()
        return replace(spec, name=f"compat: {self.compat}") if self.compat else spec

    def update(self, labels: Sequence[Label], step: Step) -> Fit:
        """One update of all chains in this process."""
        schedule = self.schedule()
        prior, head = self._widths(schedule, labels[0].structure)
        request = SampleRequest(
            potential=self.setting.spec,
            previous=step.previous,
            chains=tuple(range(self.setting.chains)),
            n_members=self.setting.chains,
            version=step.target.version,
            labels=(),
            energy_shift=step.energy_shift,
            energy_std=self.setting.energy_std,
            prior_std=prior,
            head_prior_std=head,
            schedule=schedule,
            seed=self.setting.seed,
            directory=step.target.directory,
            n_known=step.previous.version if step.previous else 0,
            faults=Faults.of(self.compat),
        )
        result = sample(request, list(labels))
        report = {"schedule": asdict(schedule), "prior_std": prior, "head_prior_std": head}
        return Fit(result.gradients, report | asdict(result))

    def _widths(self, schedule: ScheduleSpec | RtoSpec, first: Structure) -> tuple[float, float]:
        """Prior stds of weights and head: found as a run finds them, or the setting's."""
        if not isinstance(schedule, RtoSpec):
            return self.setting.prior_std, self.setting.prior_std
        found = suggest_prior_std(
            self.setting.potential(),
            [first],
            force_spread=FORCE_SPREAD,
            power=schedule.prior_power,
        )
        return found.std, found.head_std

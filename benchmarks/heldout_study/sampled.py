"""bnnflow's own posterior chains, through the same `sample` that a run on the fly calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bnnflow.config.defaults import fill_defaults
from bnnflow.config.sections import SamplerConfig
from bnnflow.records import Label, SampleRequest, ScheduleSpec
from bnnflow.training.sample import sample
from heldout_study.method import Fit, Step
from heldout_study.setting import Setting

SAMPLED: Mapping[str, Mapping[str, Any]] = {
    "published": {"schedule": "published"},
}
"""Method -> section `sampler` of a config. Steps, batch and chains come from the setting."""


@dataclass(frozen=True)
class Sampled:
    """Chains with the sampler section of a config; each update starts from the last samples."""

    setting: Setting
    section: Mapping[str, Any]
    sequential: bool = True

    def schedule(self) -> ScheduleSpec:
        """The schedule with every number explicit, as the config resolves it."""
        budget = {"steps": self.setting.steps, "batch": self.setting.batch}
        filled = fill_defaults({"sampler": {**self.section, **budget}})
        return SamplerConfig.model_validate(filled["sampler"]).record()

    def update(self, labels: Sequence[Label], step: Step) -> Fit:
        """One update of all chains in this process."""
        schedule = self.schedule()
        request = SampleRequest(
            potential=self.setting.spec,
            previous=step.previous,
            chains=tuple(range(self.setting.chains)),
            n_members=self.setting.chains,
            version=step.target.version,
            labels=(),
            energy_shift=step.energy_shift,
            energy_std=self.setting.energy_std,
            prior_std=self.setting.prior_std,
            schedule=schedule,
            seed=self.setting.seed,
            directory=step.target.directory,
        )
        result = sample(request, list(labels))
        gradients = schedule.steps * min(schedule.batch, len(labels))
        return Fit(gradients, {"schedule": asdict(schedule), **asdict(result)})

"""What a campaign would run: its materials found and checked, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from bnnflow.config import check_run
from bnnflow.config.campaign import CampaignConfig
from bnnflow.config.expansion import Material, PlannedRun, expand
from bnnflow.config.materials import find_materials
from bnnflow.errors import BnnflowError, StructureError
from bnnflow.sources import Unusable
from bnnflow.units import to_kcal_per_mol
from workflows.console import columns

_SHOWN = 3

Work = Callable[[Sequence[PlannedRun]], Sequence[PlannedRun]]
"""What is done with all runs of one material; raises BnnflowError when the material is bad."""


@dataclass(frozen=True)
class CampaignPlan:
    """The runs of a campaign, and the materials that cannot be run with the reason of each."""

    runs: tuple[PlannedRun, ...]
    bad: tuple[Unusable, ...] = ()

    @property
    def materials(self) -> list[Material]:
        """Those that are run, in order."""
        return list({run.material.name: run.material for run in self.runs}.values())

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "runs": [_figures(run) for run in self.runs],
            "bad_materials": [
                {"name": bad.name, "origin": bad.origin, "reason": bad.reason} for bad in self.bad
            ],
        }

    def table(self) -> str:
        """One line per run, then one per material that cannot be run."""
        head = ("run", "atoms", "composition", "K kcal/mol", "T K", "origin")
        rows = [_row(run) for run in self.runs]
        lines = [columns([head, *rows])] if rows else []
        return "\n".join([*lines, *(f"cannot be run: {_words(bad)}" for bad in self.bad)])


def plan_campaign(campaign: CampaignConfig, folder: Path) -> CampaignPlan:
    """Find the materials of a campaign, combine them with its conditions, and check each material.

    folder: where the campaign will be; nothing is written. Raises UserError for what is wrong with
    the campaign as a whole.
    """
    materials, unusable = find_materials(campaign)
    return _each_material(CampaignPlan(expand(campaign, materials, folder), unusable), _checked)


def pin(plan: CampaignPlan) -> CampaignPlan:
    """The plan with each material's model file and prior pinned, as its runs find them."""
    return _each_material(plan, _pinned)


def settled(plan: CampaignPlan, campaign: CampaignConfig) -> CampaignPlan:
    """The plan, unless bad materials refuse it; raises StructureError in one line."""
    if plan.bad and campaign.on_bad_material == "refuse":
        shown = "; ".join(_words(bad) for bad in plan.bad[:_SHOWN])
        more = f"; and {len(plan.bad) - _SHOWN} more" if len(plan.bad) > _SHOWN else ""
        raise StructureError(
            f"{len(plan.bad)} of {len(plan.bad) + len(plan.materials)} materials cannot be run: "
            f"{shown}{more}. Correct them, or set on_bad_material to set_aside to leave them out"
        )
    if not plan.runs:
        raise StructureError("no material can be run: look at the reasons with --dry-run")
    return plan


def _each_material(plan: CampaignPlan, work: Work) -> CampaignPlan:
    """Do something with all runs of each material; one that it fails for is bad."""
    runs: list[PlannedRun] = []
    bad = list(plan.bad)
    for _, group in groupby(plan.runs, key=lambda run: run.material.name):
        members = list(group)
        material = members[0].material
        try:
            runs += work(members)
        except BnnflowError as error:
            bad.append(Unusable(material.name, material.origin, str(error)))
    return CampaignPlan(tuple(runs), tuple(bad))


def _checked(runs: Sequence[PlannedRun]) -> Sequence[PlannedRun]:
    """Conditions change nothing that is checked, so the first run speaks for its material."""
    check_run(runs[0].config, runs[0].material.structure)
    return runs


def _pinned(runs: Sequence[PlannedRun]) -> Sequence[PlannedRun]:
    """All runs of a material share its prior, which does not depend on the conditions."""
    from workflows.session import pinned

    potential = pinned(runs[0].config, runs[0].material.structure).potential
    update = {"potential": potential}
    return [replace(run, config=run.config.model_copy(update=update)) for run in runs]


def _figures(run: PlannedRun) -> dict[str, Any]:
    structure, config = run.material.structure, run.config
    return {
        "name": run.name,
        "atoms": len(structure),
        "composition": structure.to_atoms().get_chemical_formula(),
        "charge": structure.charge,
        "multiplicity": structure.multiplicity,
        "threshold_kcal_per_mol": to_kcal_per_mol(
            config.threshold.energy_threshold_eV(len(structure))
        ),
        "temperature_K": config.dynamics.temperature_K,
        "pressure_bar": config.dynamics.pressure_bar if config.dynamics.kind == "npt" else None,
        "seed": config.run.seed,
        "origin": run.material.origin,
    }


def _row(run: PlannedRun) -> tuple[str, ...]:
    figures = _figures(run)
    state = "" if not figures["charge"] else f" ({figures['charge']:+d})"
    temperature = figures["temperature_K"]
    return (
        run.name,
        str(figures["atoms"]),
        figures["composition"] + state,
        f"{figures['threshold_kcal_per_mol']:.4g}",
        "schedule" if temperature is None else f"{temperature:g}",
        figures["origin"],
    )


def _words(bad: Unusable) -> str:
    origin = f" ({bad.origin})" if bad.origin and bad.origin not in bad.reason else ""
    return f"{bad.name}{origin}: {bad.reason}"

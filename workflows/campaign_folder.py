"""The folder of a campaign: written once when it starts, read whenever it goes on.

campaign.yaml   the campaign, resolved: its materials are the files in structures/
structures/     one extxyz file per material, equal to the bit to what its source gave
runs/NAME/      an ordinary run folder per run
"""

from __future__ import annotations

import os
from pathlib import Path

from bnnflow.codec import publish
from bnnflow.config.campaign import CampaignConfig, MaterialEntry, SetAside
from bnnflow.config.campaign_loading import load_campaign
from bnnflow.config.expansion import Material, PlannedRun, expand, structure_file
from bnnflow.config.materials import find_materials
from bnnflow.data.layout import CAMPAIGN_FILE, RUNS, STRUCTURES, is_campaign
from bnnflow.errors import RunFolderError
from workflows.campaign_plan import CampaignPlan


def run_folder(folder: Path, name: str) -> Path:
    """Where a run of a campaign lies."""
    return folder / RUNS / name


def write_campaign(campaign: CampaignConfig, plan: CampaignPlan, folder: Path) -> CampaignConfig:
    """Write the structures, then the resolved campaign, which makes the folder a campaign's.

    Returns the resolved campaign.
    """
    (folder / STRUCTURES).mkdir(parents=True, exist_ok=True)
    for material in plan.materials:
        path, text = structure_file(folder, material)
        _write_text(path, text)
    whole = resolved(campaign, plan)
    _write_text(folder / CAMPAIGN_FILE, whole.to_yaml())
    return whole


def read_campaign(folder: Path) -> tuple[CampaignConfig, tuple[PlannedRun, ...]]:
    """The resolved campaign of a folder, and its runs; raises RunFolderError."""
    if not is_campaign(folder):
        raise RunFolderError(
            f"{folder} holds no campaign, expected {CAMPAIGN_FILE} and {STRUCTURES}/ in it: check"
        )
    campaign = load_campaign(folder / CAMPAIGN_FILE)
    materials, unusable = find_materials(campaign)
    if unusable:
        raise RunFolderError(
            f"{unusable[0].origin} cannot be used ({unusable[0].reason}): restore it from a copy"
        )
    return campaign, expand(campaign, materials, folder)


def resolved(campaign: CampaignConfig, plan: CampaignPlan) -> CampaignConfig:
    """The same campaign from its own files: nothing outside is asked again."""
    entries = tuple(_entry(material) for material in plan.materials)
    left_out = (SetAside(name=b.name, origin=b.origin, reason=b.reason) for b in plan.bad)
    return campaign.model_copy(update={"materials": entries, "set_aside": tuple(left_out)})


def _entry(material: Material) -> MaterialEntry:
    return MaterialEntry.model_validate(
        {
            "file": f"{STRUCTURES}/{material.name}.extxyz",
            "name": material.name,
            "charge": material.structure.charge,
            "multiplicity": material.structure.multiplicity,
            "origin": material.origin,
            "weight": material.entry.weight,
            "priority": material.entry.priority,
            "budget": material.entry.budget.model_dump(),
            **material.entry.settings(),
        }
    )


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    publish(temporary, path)

"""Held-out molecules run again from the merged models: how many labels each start needs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bnnflow.config.campaign import CampaignConfig
from bnnflow.config.campaign_loading import parse_campaign
from campaign_study.levels import Level
from workflows.campaign_folder import read_campaign
from workflows.merge import MODEL
from workflows.merge_card import CARD

STARTS = ("expected", "usual")
"""How wide the prior is about the merged model: its draws spread forces by the error that held-out
labels showed, or by the default."""


def gain_campaign(
    campaign: Path, merged: Mapping[str, Path], levels: tuple[Level, ...], *, start: str
) -> CampaignConfig:
    """The held-out molecules of a campaign, with the same settings, seed and names, and so the same
    noise, but from the merged model of their level.

    merged: name of a level -> folder of its model.
    """
    config, _ = read_campaign(campaign)
    values = config.model_dump(mode="json", exclude_defaults=True)
    chosen = list(_entries(campaign, values["materials"], merged, levels, start))
    return parse_campaign({**values, "name": f"from-merged-{start}", "materials": chosen})


def _entries(
    campaign: Path,
    entries: list[dict[str, Any]],
    merged: Mapping[str, Path],
    levels: tuple[Level, ...],
    start: str,
) -> Iterator[dict[str, Any]]:
    for entry in entries:
        for level in levels:
            if entry["name"] in level.held_out:
                file = str((campaign / entry["file"]).resolve())
                yield {**entry, "file": file, **_sections(entry, merged[level.name], start)}


def _sections(entry: Mapping[str, Any], merged: Path, start: str) -> dict[str, Any]:
    """Model and prior of a run that starts from a merged model."""
    sections: dict[str, Any] = {"potential": {"model": str((merged / MODEL).resolve())}}
    if start == "expected":
        card = json.loads((merged / CARD).read_text())
        error = card["errors"]["held_out"]["merged"]["force_rmse_kcal_per_mol_A"]
        spread = {"prior_force_spread_kcal_per_mol_A": float(f"{error:.2g}")}
        sections["sampler"] = {**entry.get("sampler", {}), **spread}
    return sections

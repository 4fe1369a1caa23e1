"""Validate every run of a campaign, once."""

from __future__ import annotations

from pathlib import Path

from campaign_study.runs import run_folders, validation_of
from workflows.validation import validate


def validate_all(campaign: Path, *, frames: int, inline: bool, site: str | None) -> None:
    """Label random frames of each run; one that is validated already is passed over.

    frames: wanted per run, 20 fs apart. In this process if `inline`: pools cost more to start than
    a few labels of small molecules take.
    """
    for name, folder in run_folders(campaign).items():
        if validation_of(folder) is None:
            result = validate(folder, frames=frames, inline=inline, site=site)
            print(f"{name}\n{result.table()}\n", flush=True)

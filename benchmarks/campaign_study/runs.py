"""Finding the runs of a campaign, and what was found out about each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bnnflow.analysis.status import status
from bnnflow.analysis.validation import VALIDATION_FILE
from bnnflow.data import is_run, read_run
from bnnflow.data.layout import RUNS, is_campaign
from bnnflow.errors import RunFolderError


def run_folders(campaign: Path) -> dict[str, Path]:
    """Name -> folder of the runs that have an ensemble, in the order of their names."""
    if not is_campaign(campaign):
        raise RunFolderError(f"{campaign} holds no campaign: do the step `run` first")
    found = [path for path in sorted((campaign / RUNS).iterdir()) if is_run(path)]
    return {path.name: path for path in found if read_run(path).state.ensemble is not None}


def validation_of(folder: Path) -> dict[str, Any] | None:
    """The figures of a run's validation; None when it has none of its newest ensemble."""
    path = folder / VALIDATION_FILE
    if not path.is_file():
        return None
    figures: dict[str, Any] = json.loads(path.read_text())
    newest = status(folder)["ensemble_version"]
    return figures if figures["ensemble_version"] == newest else None

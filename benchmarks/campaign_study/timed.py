"""A campaign with its wall time, run once."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from bnnflow.config import CampaignConfig
from bnnflow.data.layout import is_campaign
from bnnflow.errors import RunFolderError
from workflows.campaign import start_campaign


def timed_campaign(campaign: CampaignConfig, folder: Path) -> dict[str, Any]:
    """Run a campaign, unless it has been run; its wall seconds, runs and labels.

    Raises RunFolderError for one that was interrupted, whose wall time is not known.
    """
    kept = folder.with_suffix(".json")
    if not kept.is_file():
        if is_campaign(folder):
            raise RunFolderError(
                f"{folder} holds a campaign that was interrupted, expected none, for its wall time "
                "is not known: remove the folder"
            )
        began = time.monotonic()
        ended = start_campaign(campaign, folder)
        wall = time.monotonic() - began
        print(f"{folder.name}\n{ended.table()}\n", flush=True)
        labels = sum(run.labels for run in ended.runs)
        kept.write_text(json.dumps({"wall_s": wall, "labels": labels, "runs": len(ended.runs)}))
    found: dict[str, Any] = json.loads(kept.read_text())
    return found

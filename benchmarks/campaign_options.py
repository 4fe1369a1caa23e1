"""What walkers gain from one another, and from initial data, in labels, time and errors.

    PYTHONPATH=. python benchmarks/campaign_options.py --work options-work --json

Three walkers each of ketene and acrylonitrile against GFN2-xTB, once for each option: ensembles of
their own; one ensemble per material; calibration priors pooled over the runs; initial data before
the loop. Every run is validated on random frames of its own. An option that has been run is not run
again. Figures: labels and wall time of ensembles of their own over those of the option, and the
share of random frames within K; higher is better.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the work is spread over processes

import numpy as np
from campaign_study.tables import campaign_rows
from campaign_study.timed import timed_campaign
from campaign_study.validations import validate_all

from bnnflow.config.campaign_loading import load_campaign
from workflows.console import columns, guarded

CONFIG = Path(__file__).with_name("campaign_molecules.yaml")
MATERIALS = ("ketene", "acrylonitrile")
OPTIONS = {
    "own": (),
    "shared": ("ensembles=per_material",),
    "pooled": ("calibration_prior=pooled",),
    "initial": ("initial.labels=4", "initial.md_ps=0.1"),
    "shared, initial": ("ensembles=per_material", "initial.labels=4", "initial.md_ps=0.1"),
}


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a campaign with an option and validate its runs, unless that has been done."""
    folder = options.work / name.replace(", ", "-")
    campaign = load_campaign(CONFIG, [*OPTIONS[name], f"conditions.walkers={options.walkers}"])
    chosen = tuple(each for each in campaign.materials if each.name in MATERIALS)
    found = timed_campaign(campaign.model_copy(update={"materials": chosen}), folder)
    validate_all(folder, frames=options.frames, inline=True, site=None)
    return {**found, "runs": campaign_rows(folder)}


def summary(found: dict[str, Any]) -> dict[str, Any]:
    """All runs of an option together."""
    rows = list(found["runs"].values())
    squares = {
        key: float(np.sqrt(np.mean([row["fine_tuned"][key] ** 2 for row in rows])))
        for key in ("forces", "energy")
    }
    return {
        "wall_s": found["wall_s"],
        "labels": sum(row["labels"] for row in rows),
        "md_ps": sum(row["md_ps"] for row in rows),
        "asked": np.sum([row["above_K"] for row in rows], axis=0).tolist(),
        "frames": np.sum([row["fine_tuned"]["above_K"] for row in rows], axis=0).tolist(),
        **squares,
    }


def table(summaries: dict[str, dict[str, Any]]) -> str:
    """One line per option."""
    head = ("option", "labels", "ps", "wall s", "above K: asked", "random frames", "force RMSE",
            "energy RMSE")  # fmt: skip
    rows = [
        (name, str(each["labels"]), f"{each['md_ps']:.3g}", f"{each['wall_s']:.0f}",
         "{}/{}".format(*each["asked"]), "{}/{}".format(*each["frames"]),
         f"{each['forces']:.2f}", f"{each['energy']:.2f}")
        for name, each in summaries.items()
    ]  # fmt: skip
    return columns([head, *rows])


def figures(summaries: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Higher is better."""
    own, result = summaries.get("own"), {}
    for name, each in summaries.items():
        if own is not None and name != "own":
            result[f"{name}: labels"] = own["labels"] / each["labels"]
            result[f"{name}: wall"] = own["wall_s"] / each["wall_s"]
        result[f"{name}: within K"] = 1.0 - each["frames"][0] / each["frames"][1]
    return result


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of everything")
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--walkers", type=int, default=3, help="of each material")
    parser.add_argument("--frames", type=int, default=12, help="random frames of each run")
    parser.add_argument("--json", action="store_true", help="figures on the last line")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    names = [name for name in OPTIONS if name in options.options]
    summaries = {name: summary(measured(name, options)) for name in names}
    print(table(summaries))
    if options.json:
        print(json.dumps({"benchmark": "campaign_options", "figures": figures(summaries),
                          "settings": summaries}))  # fmt: skip


if __name__ == "__main__":
    sys.exit(guarded(main))

"""What `bnnflow plan` says of a campaign, against what the campaign takes.

    PYTHONPATH=. python benchmarks/forecast.py --work forecast-work --json

Campaigns of different kinds: the molecules of `campaign_molecules.yaml` against GFN2-xTB, where
updates take the time; those against B3LYP at two temperatures, where labels take some, too; and the
shipped `small-molecules`, as it is and with three walkers of each material that share an ensemble.
Of each, every third material is run first, one after the other, as a user would to measure times;
then the whole campaign is forecast from those runs, and then it is run. A step that is done is not
done again. Nothing else may run on the machine. A figure is 1 - |forecast/measured - 1|.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the work is spread over processes

from campaign_study.timed import timed_campaign

from bnnflow.config import CampaignConfig
from bnnflow.config.campaign_loading import load_campaign
from workflows.campaign_forecast import forecast_campaign
from workflows.configs import find_config
from workflows.console import guarded
from workflows.plan_times import measure

MOLECULES = Path(__file__).with_name("campaign_molecules.yaml")


@dataclass(frozen=True)
class Case:
    """A campaign: its file, changes to it, and whether its materials have their own reference."""

    config: Path
    own_reference: bool = False
    changes: tuple[str, ...] = ()


CASES = {
    "GFN2-xTB": Case(MOLECULES),
    "B3LYP": Case(
        MOLECULES, True, ("conditions.temperature_K=[300, 500]", "dynamics.length_ps=0.15")
    ),
    "small-molecules": Case(find_config("small-molecules")),
    "shared": Case(
        find_config("small-molecules"), changes=("conditions.walkers=3", "ensembles=per_material")
    ),
}


def campaign_of(case: Case, *, pilot: bool) -> CampaignConfig:
    """The campaign, or its pilot: every third material, one after the other. Walkers that share an
    ensemble are open together: one after the other they would ask less often."""
    whole = load_campaign(case.config, case.changes)
    chosen = [each for each in whole.materials if bool(each.reference) == case.own_reference]
    if not pilot:
        return whole.model_copy(update={"materials": tuple(chosen)})
    together = whole.conditions.walkers if whole.ensembles == "per_material" else 1
    return whole.model_copy(update={"materials": tuple(chosen[::3]), "most_open": together})


def compare(name: str, work: Path) -> dict[str, Any]:
    """Pilot, forecast and campaign of one case."""
    case = CASES[name]
    pilot, whole = work / f"{name}-pilot", work / name
    timed_campaign(campaign_of(case, pilot=True), pilot)
    campaign = campaign_of(case, pilot=False)
    times = measure([pilot])
    said = forecast_campaign(campaign, whole, times)
    print(f"{said.table()}\n", flush=True)
    return {"forecast": said.as_dict(), "measured": timed_campaign(campaign, whole)}


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of everything")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--json", action="store_true", help="figures on the last line")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    found = {name: compare(name, options.work) for name in options.cases}
    figures = {}
    for name, both in found.items():
        ratio = 3600.0 * both["forecast"]["wall_hours"] / both["measured"]["wall_s"]
        print(f"{name}: forecast / measured {ratio:.2f}")
        figures[name] = 1.0 - abs(ratio - 1.0)
    if options.json:
        print(json.dumps({"benchmark": "forecast", "figures": figures, "settings": found}))


if __name__ == "__main__":
    sys.exit(guarded(main))

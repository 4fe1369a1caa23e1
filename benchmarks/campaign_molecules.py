"""A real campaign, and what merging its runs is worth to the next molecule.

    python benchmarks/campaign_molecules.py run --work campaign-work       # 18 molecules
    python benchmarks/campaign_molecules.py validate --work campaign-work  # errors of every run
    python benchmarks/campaign_molecules.py merge --work campaign-work     # all but those held out
    python benchmarks/campaign_molecules.py gain --work campaign-work      # runs from the result
    python benchmarks/campaign_molecules.py table --work campaign-work --json

or `all` for one after the other. Every command goes on where it stopped. The molecules are those of
`campaign_molecules.yaml`: GFN2-xTB for most, B3LYP for a few; one model is merged for each level.
Held-out molecules are judged on random frames of their own runs, which no model was trained on, and
are run again from the merged model.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the work is spread over processes

from campaign_study.gain import STARTS, gain_campaign
from campaign_study.levels import Level, present
from campaign_study.runs import run_folders
from campaign_study.tables import campaign_rows, ratios, start_rows, tables, transfer_rows
from campaign_study.validations import validate_all

from bnnflow.config import CampaignConfig
from bnnflow.config.campaign_loading import load_campaign
from bnnflow.config.loading import sampler_of
from bnnflow.data.layout import is_campaign
from workflows.campaign import resume_campaign, start_campaign
from workflows.campaign_folder import read_campaign
from workflows.console import guarded
from workflows.merge import MODEL, merge
from workflows.merge_card import CARD

CONFIG = Path(__file__).with_suffix(".yaml")


def run(options: argparse.Namespace) -> None:
    """The campaign from the foundation model."""
    _drive(options, "campaign", lambda: load_campaign(options.config, options.set))


def validate(options: argparse.Namespace) -> None:
    """Label random frames of every run and judge its ensemble by them."""
    for name in ("campaign", *(f"from-merged-{start}" for start in STARTS)):
        if is_campaign(options.work / name):
            validate_all(options.work / name, frames=options.frames, inline=True, site=options.site)


def merge_levels(options: argparse.Namespace) -> None:
    """One model for each level of theory, without the molecules that are held out."""
    folders = run_folders(options.work / "campaign")
    campaign, _ = read_campaign(options.work / "campaign")
    chains = campaign.sampler.get("chains")
    sampler = sampler_of([f"sampler.chains={chains}"] if chains else [])
    for level in _levels(options):
        into = merged_folder(options.work, level)
        if (into / CARD).is_file():
            continue
        (into / MODEL).unlink(missing_ok=True)  # of a merge that was interrupted before its card
        result = merge(
            [folders[name] for name in level.names],
            into=into,
            hold_out=level.held_out,
            sampler=sampler,
            inline=options.inline,
            site=options.site,
        )
        print(f"{level.name}\n{result.table()}\n", flush=True)


def gain(options: argparse.Namespace) -> None:
    """The held-out molecules once more, from the merged model of their level."""
    levels = _levels(options)
    merged = {level.name: merged_folder(options.work, level) for level in levels}
    for start in STARTS:
        make = lambda start=start: gain_campaign(  # noqa: E731
            options.work / "campaign", merged, levels, start=start
        )
        _drive(options, f"from-merged-{start}", make)
    validate(options)


def table(options: argparse.Namespace) -> None:
    """Print the tables; with --json also one line of figures, higher is better."""
    levels = _levels(options)
    merged = {level.name: merged_folder(options.work, level) for level in levels}
    ready = [level for level in levels if (merged[level.name] / CARD).is_file()]
    found = {
        "runs": campaign_rows(options.work / "campaign"),
        "held_out": transfer_rows(options.work / "campaign", merged, ready),
        "starts": start_rows(options.work, ready),
    }
    print(tables(found))
    if options.json:
        name = Path(__file__).stem
        print(json.dumps({"benchmark": name, "figures": ratios(found), "settings": found}))


def every(options: argparse.Namespace) -> None:
    """All steps."""
    for step in (run, validate, merge_levels, gain, table):
        step(options)


def merged_folder(work: Path, level: Level) -> Path:
    """Where the merged model of a level lies."""
    return work / f"merged-{level.name}"


def _levels(options: argparse.Namespace) -> tuple[Level, ...]:
    return present(tuple(run_folders(options.work / "campaign")))


def _drive(options: argparse.Namespace, name: str, make: Callable[[], CampaignConfig]) -> None:
    """Start a campaign, or go on with it."""
    folder = options.work / name
    if is_campaign(folder):
        ended = resume_campaign(folder, inline=options.inline, site=options.site)
    else:
        ended = start_campaign(make(), folder, inline=options.inline, site=options.site)
    print(f"{name}\n{ended.table()}\n", flush=True)


STEPS = {"run": run, "validate": validate, "merge": merge_levels, "gain": gain, "table": table,
         "all": every}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line's definition."""
    result = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    result.add_argument("step", choices=STEPS)
    result.add_argument("--work", type=Path, required=True, help="folder of everything")
    result.add_argument("--config", type=Path, default=CONFIG, help="of the campaign")
    result.add_argument("--set", nargs="*", default=[], help="dynamics.length_ps=0.1 and so on")
    result.add_argument("--frames", type=int, default=12, help="random frames of each run")
    result.add_argument("--site", default="local", help="site config, by name or path")
    result.add_argument("--inline", action="store_true", help="in this process, without pools")
    result.add_argument("--json", action="store_true", help="figures on the last line")
    return result


def main() -> None:
    """Parse the command line and do what it says."""
    options = parser().parse_args()
    options.work = options.work.resolve()
    STEPS[options.step](options)


if __name__ == "__main__":
    sys.exit(guarded(main))

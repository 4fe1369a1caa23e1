"""What the scripts of the papers' runs share: their command line, and run, resume and report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from bnnflow.analysis.report import write_report
from bnnflow.config import RunConfig, load_config
from bnnflow.data import is_run
from workflows.configs import find_config
from workflows.session import fine_tune, resume


def parser(description: str, *, folder: str) -> argparse.ArgumentParser:
    """Folder, site and overrides of a config."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as run.seed=2")
    result.add_argument("--folder", type=Path, default=Path(folder), help=f"default: {folder}")
    result.add_argument("--site", help="site config, by name or path")
    result.add_argument("--inline", action="store_true", help="work in this process")
    return result


def preset(name: str, overrides: Sequence[str]) -> RunConfig:
    """A shipped config with changes."""
    return load_config(find_config(name), overrides)


def run(configs: Sequence[RunConfig], folders: Sequence[Path], options: argparse.Namespace) -> None:
    """Start runs over shared pools, or go on with them, and write their reports."""
    where = {"site": options.site, "inline": options.inline}
    if all(is_run(folder) for folder in folders):
        runs = resume(folders, **where)
    else:
        runs = fine_tune(configs, folders=folders, **where)
    for each in runs:
        print(f"{each.time_ps:g} ps with {each.labels} labels: {write_report(each.folder)}")

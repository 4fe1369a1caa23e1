"""`bnnflow submit`: the coordinator as a batch job that submits itself while work is left."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer


@dataclass(frozen=True)
class Target:
    """What is to be driven.

    folder: absolute; site: of the config; start, resume: words of `bnnflow`; begun: the file that
    says it has begun.
    """

    folder: Path
    site: str
    start: tuple[str, ...]
    resume: tuple[str, ...]
    begun: Path


def submit(
    target: Annotated[str, typer.Argument(metavar="CONFIG|FOLDER", help="Of a run or a campaign.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as run.seed=2.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Of a new run; default: runs/NAME.")] = None,
    site: Annotated[
        str | None, typer.Option(help="Site config, by name or path; default: the run's.")
    ] = None,
    walltime: Annotated[str, typer.Option(help="Of one job, HH:MM:SS; default: the site's.")] = "",
    dry_run: Annotated[bool, typer.Option(help="Print the batch script; submit nothing.")] = False,
) -> None:
    """Drive a run or campaign from a batch job, which submits itself until all is done."""
    from executors.coordinator import coordinator_job
    from executors.schema.blanks import require_filled
    from executors.site import load_site

    found = _existing(Path(target), overrides or []) or _new(target, overrides or [], folder)
    place = _absolute(site or found.site)
    where = load_site(place)
    job = coordinator_job(
        where,
        found.folder,
        start=(*found.start, "--site", place),
        resume=(*found.resume, "--site", place),
        begun=found.begun,
        walltime=walltime,
    )
    if dry_run:
        print(job.text, end="")
        return
    require_filled(where.name, where.model_dump())
    print(job.send())
    print(f"script and logs: {job.path.parent}")


def _existing(path: Path, overrides: list[str]) -> Target | None:
    """A run or campaign that has begun; None where the path holds neither."""
    from bnnflow.config import config_from_yaml
    from bnnflow.data import is_run, read_run
    from bnnflow.data.layout import CAMPAIGN_FILE, is_campaign
    from workflows.campaign_folder import read_campaign

    whole = path.resolve()
    words = ("resume", str(whole), *overrides)
    if is_campaign(path):
        _, runs = read_campaign(path)
        return Target(whole, runs[0].config.run.site, words, words, whole / CAMPAIGN_FILE)
    if not is_run(path):
        return None
    site = config_from_yaml(read_run(path).config_text).run.site
    return Target(whole, site, words, words, _first_commit(whole))


def _new(name: str, overrides: list[str], folder: Path | None) -> Target:
    """A run or campaign that is to begin, checked as `run` and `campaign` check it."""
    from bnnflow.config.loading import read_values
    from bnnflow.errors import RunFolderError
    from workflows.configs import find_config

    config = find_config(name).resolve()
    many = "materials" in read_values(config)
    found = (_campaign if many else _run)(config, overrides, folder)
    if found.begun.exists():
        kind = "campaign" if many else "run"
        raise RunFolderError(
            f"{found.folder} holds a {kind} already: `bnnflow submit {found.folder}`"
        )
    return found


def _run(config: Path, overrides: list[str], folder: Path | None) -> Target:
    from bnnflow.config import check_run, load_config

    settings = load_config(config, overrides)
    check_run(settings)
    whole = folder or Path(settings.run.folder or Path("runs") / settings.material.name)
    whole = whole.resolve()
    words = ("run", str(config), *overrides, "--folder", str(whole))
    return Target(whole, settings.run.site, words, ("resume", str(whole)), _first_commit(whole))


def _campaign(config: Path, overrides: list[str], folder: Path | None) -> Target:
    from bnnflow.config import load_campaign
    from bnnflow.data.layout import CAMPAIGN_FILE
    from workflows.campaign_plan import plan_campaign

    settings = load_campaign(config, overrides)
    whole = (folder or Path("runs") / settings.name).resolve()
    plan = plan_campaign(settings, whole)
    words = ("campaign", str(config), *overrides, "--folder", str(whole))
    site = plan.runs[0].config.run.site
    return Target(whole, site, words, ("resume", str(whole)), whole / CAMPAIGN_FILE)


def _first_commit(folder: Path) -> Path:
    from bnnflow.data.segments import segment_path

    return segment_path(folder, 0)


def _absolute(site: str) -> str:
    """A site's name, or the absolute path of its file: the job may start elsewhere."""
    return str(Path(site).resolve()) if Path(site).is_file() else site

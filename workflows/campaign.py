"""Campaigns: many materials and conditions, driven together over the same pools.

from bnnflow.config import load_campaign
from workflows.campaign import start_campaign

print(start_campaign(load_campaign("small-molecules.yaml"), "runs/small-molecules").table())
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bnnflow.config.campaign import CampaignConfig
from bnnflow.config.expansion import PlannedRun
from bnnflow.data import is_run, read_run
from bnnflow.data.layout import is_campaign
from bnnflow.errors import RunFolderError
from bnnflow.records import Phase
from workflows.campaign_drive import drive_campaign
from workflows.campaign_folder import read_campaign, run_folder, write_campaign
from workflows.campaign_plan import CampaignPlan, pin, plan_campaign, settled
from workflows.console import columns
from workflows.deadline import Deadline
from workflows.session import check_site, create


@dataclass(frozen=True)
class RunEnd:
    """Where one run of a campaign stands.

    state: done, left (where a limit or budget ended it), not done, or set aside (a material, never
    run); time_ps: MD time; reason: what kept it from its end, one line.
    """

    name: str
    state: str
    time_ps: float = 0.0
    labels: int = 0
    reason: str = ""


@dataclass(frozen=True)
class CampaignSummary:
    """Which runs of a campaign are done; materials set aside are named and not counted."""

    folder: Path
    runs: tuple[RunEnd, ...]

    @property
    def unfinished(self) -> int:
        """Runs that are not done."""
        return sum(run.state == "not done" for run in self.runs)

    @property
    def run_folders(self) -> list[Path]:
        """The folders of the runs that have begun."""
        folders = [run_folder(self.folder, run.name) for run in self.runs]
        return [folder for folder in folders if _begun(folder)]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        runs = [asdict(run) for run in self.runs]
        return {"folder": str(self.folder), "unfinished": self.unfinished, "runs": runs}

    def table(self) -> str:
        """One line per run."""
        head = ("run", "state", "ps", "labels", "reason")
        rows = [(r.name, r.state, f"{r.time_ps:g}", str(r.labels), r.reason) for r in self.runs]
        return columns([head, *rows])


def start_campaign(
    campaign: CampaignConfig,
    folder: Path | str,
    *,
    inline: bool = False,
    site: str | None = None,
    deadline: Deadline | None = None,
) -> CampaignSummary:
    """Run all materials of a campaign at all its conditions, over shared pools.

    folder: new; inline: work in this process, without Parsl; site: by name or path (default: the
    first run's); deadline: when to be done or to leave the rest to `resume_campaign`. Everything is
    checked before anything is written. A run that fails stops no other one.

    Raises UserError for what the user can put right before the start.
    """
    path = Path(folder)
    if is_campaign(path):
        raise RunFolderError(f"{path} holds a campaign already: `bnnflow resume {path}`")
    plan = settled(plan_campaign(campaign, path), campaign)
    check_site([run.config for run in plan.runs], path, inline=inline, site=site)
    plan = settled(pin(plan), campaign)
    whole = write_campaign(campaign, plan, path)
    return _go_on(path, whole, plan.runs, {}, inline=inline, site=site, deadline=deadline)


def resume_campaign(
    folder: Path | str,
    *,
    inline: bool = False,
    site: str | None = None,
    overrides: Sequence[str] = (),
    deadline: Deadline | None = None,
) -> CampaignSummary:
    """Go on with every run of a campaign that is not done, and begin those that had no folder yet.

    overrides: `limits.KEY=VALUE` for all its runs; deadline: as there. Raises RunFolderError when
    the folder holds no campaign, or one that is driven already.
    """
    path = Path(folder)
    campaign, runs = read_campaign(path)
    missing = [run for run in runs if not is_run(run_folder(path, run.name))]
    begun = pin(CampaignPlan(tuple(missing)))
    known = {run.name: run for run in begun.runs}
    reasons = {bad.name: bad.reason for bad in begun.bad}
    by_run = {run.name: reasons[run.material.name] for run in missing if run.name not in known}
    runs = tuple(known.get(run.name, run) for run in runs)
    return _go_on(
        path,
        campaign,
        runs,
        by_run,
        inline=inline,
        site=site,
        overrides=overrides,
        deadline=deadline,
    )


def campaign_status(folder: Path | str) -> CampaignSummary:
    """Where the runs of a campaign stand; works while it runs."""
    path = Path(folder)
    campaign, runs = read_campaign(path)
    return _summary(path, campaign, runs, {}, {})


def _go_on(
    folder: Path,
    campaign: CampaignConfig,
    runs: Sequence[PlannedRun],
    reasons: dict[str, str],
    *,
    inline: bool,
    site: str | None,
    overrides: Sequence[str] = (),
    deadline: Deadline | None = None,
) -> CampaignSummary:
    """Drive all runs that can be driven to their end. reasons: of those that cannot, by name."""
    stopped = dict(reasons)
    left: dict[str, str] = {}
    for run in runs:
        if run.name not in stopped and (fault := _fault(folder, run)):
            stopped[run.name] = fault
    ready = [run for run in runs if run.name not in stopped]
    if ready:
        drive_campaign(
            folder,
            campaign,
            ready,
            inline=inline,
            site=site,
            overrides=overrides,
            on_stop=stopped.__setitem__,
            on_leave=left.__setitem__,
            deadline=deadline,
        )
    return _summary(folder, campaign, runs, stopped, left)


def _fault(folder: Path, run: PlannedRun) -> str:
    """Make the folder of a run if it has none; why the run cannot go on, or ""."""
    path = run_folder(folder, run.name)
    try:
        if is_run(path):
            read_run(path)
        else:
            create(run.config, run.material.structure, path)
    except Exception as error:  # whatever is wrong with its folder, it is that run's alone
        return str(error)
    return ""


def _summary(
    folder: Path,
    campaign: CampaignConfig,
    runs: Sequence[PlannedRun],
    stopped: Mapping[str, str],
    left: Mapping[str, str],
) -> CampaignSummary:
    ends = [_end(run_folder(folder, run.name), run, stopped.get(run.name, "")) for run in runs]
    ends = [
        replace(end, state="left", reason=left[end.name]) if end.name in left else end
        for end in ends
    ]
    ends += [RunEnd(each.name, "set aside", reason=each.reason) for each in campaign.set_aside]
    return CampaignSummary(folder, tuple(ends))


def _begun(path: Path) -> bool:
    try:
        return is_run(path)
    except OSError:  # a folder without rights
        return False


def _end(path: Path, run: PlannedRun, reason: str) -> RunEnd:
    try:
        state = read_run(path).state
    except Exception as error:  # a folder without rights, a stray file
        return RunEnd(run.name, "not done", reason=reason or str(error))
    return RunEnd(
        name=run.name,
        state="done" if state.phase is Phase.DONE else "not done",
        time_ps=state.checkpoint.step * run.config.dynamics.timestep_fs / 1000.0,
        labels=len(state.labels),
        reason=reason,
    )

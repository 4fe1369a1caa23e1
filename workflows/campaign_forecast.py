"""What a campaign would take on a site: `bnnflow plan`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from bnnflow.config.campaign import CampaignConfig
from bnnflow.config.expansion import PlannedRun
from executors.base import Pool
from executors.machine import usable_cores
from executors.site import SiteConfig, load_site
from workflows.campaign_plan import CampaignPlan, plan_campaign, settled
from workflows.console import columns
from workflows.plan_times import TaskTimes, require_amounts
from workflows.planned_loops import PlayedRun
from workflows.planning import Forecast, PlannedPools, forecast

START_S = 27.0
"""Until a worker of each pool has started and loaded what it needs, and the session's own beginning
and end, as seen here."""
LATENCY_S = 0.05
"""What a task costs beside its own time: commits, messages; as seen here."""
HOUR_S = 3600.0
_PLAYS, _PLAYED_RUNS = 21, 1000
"""A campaign of up to so many runs is played so often, each time with other label times."""


@dataclass(frozen=True)
class CampaignForecast:
    """A forecast with what it was made from.

    found: of the play that took the median time; range_s: wall times that nine of ten plays are
    above, and below (None: it was played once); the plays differ in when labels are asked for.
    """

    name: str
    site: str
    n_runs: int
    found: Forecast
    range_s: tuple[float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "campaign": self.name,
            "site": self.site,
            "runs": self.n_runs,
            "labels": self.found.labels,
            "wall_hours": self.found.wall_s / HOUR_S,
            "wall_hours_range": self.range_s and [each / HOUR_S for each in self.range_s],
            "bottleneck": str(self.found.bottleneck),
            "node_hours": {str(pool): hours for pool, hours in self.found.node_hours.items()},
            "busy": {str(pool): share for pool, share in self.found.busy.items()},
        }

    def table(self) -> str:
        """The totals, then a line per pool."""
        found = self.found
        spread = self.range_s and " ({:.3g} to {:.3g})".format(*(s / HOUR_S for s in self.range_s))
        totals = [
            ("campaign", f"{self.name} on {self.site}"),
            ("runs, labels", f"{self.n_runs:,}, {found.labels:,}"),
            ("wall time", f"{found.wall_s / HOUR_S:.3g} h{spread or ''}"),
            ("node hours", f"{sum(found.node_hours.values()):.3g}"),
            ("bottleneck", f"pool {found.bottleneck}"),
        ]
        pools = [
            (str(pool), f"{found.node_hours[pool]:.3g}", f"{100 * found.busy[pool]:.0f} %")
            for pool in Pool
        ]
        head = ("pool", "node hours", "workers busy")
        return "\n".join([columns(totals), "", columns([head, *pools])])


def forecast_campaign(
    campaign: CampaignConfig,
    folder: Path,
    times: TaskTimes,
    *,
    site: str | None = None,
    runs: int | None = None,
    queue_s: float = 0.0,
    seed: int = 0,
) -> CampaignForecast:
    """Play a campaign on a site's pools, several times.

    folder: where it would be; times: measured or given; runs: so many, the campaign's own over and
    over (None: as they are); queue_s: wait for the first job of a scheduler. Raises UserError as
    starting the campaign would, and for a wait that is none.
    """
    require_amounts({"--queue-s": queue_s})
    plan = settled(plan_campaign(campaign, folder), campaign)
    where = load_site(site or plan.runs[0].config.run.site)
    own = _planned(plan)
    wanted = own if runs is None else _copies(own, runs)
    chains = plan.runs[0].config.sampler.chains
    pools = pools_of(where, chains, queue_s)
    once = len(wanted) > _PLAYED_RUNS or times.n_atoms is None  # by hand: nothing is chance
    plays = [
        forecast(wanted, times, pools, seed=seed + number, most_open=campaign.most_open)
        for number in range(1 if once else _PLAYS)
    ]
    plays.sort(key=lambda play: play.wall_s)
    low, high = np.quantile([play.wall_s for play in plays], (0.1, 0.9))
    median, spread = plays[len(plays) // 2], None if once else (float(low), float(high))
    return CampaignForecast(campaign.name, where.name, len(wanted), median, spread)


def pools_of(site: SiteConfig, n_chains: int, queue_s: float = 0.0) -> PlannedPools:
    """The pools of a site; those of one machine share its cores."""
    sizes = {Pool(name): pool.size for name, pool in site.pools}
    return PlannedPools(
        workers={pool: size.workers for pool, size in sizes.items()},
        nodes={pool: size.nodes for pool, size in sizes.items()},
        chains_per_task=site.pools.gpu.chains(n_chains),
        start_s=START_S + queue_s,
        latency_s=LATENCY_S,
        cores=None if site.remote else usable_cores(),
    )


def _planned(plan: CampaignPlan) -> list[PlayedRun]:
    return [
        PlayedRun(
            name=run.name,
            n_atoms=len(run.material.structure),
            n_steps=run.config.dynamics.n_steps,
            timestep_fs=run.config.dynamics.timestep_fs,
            n_chains=run.config.sampler.chains,
            weight=run.material.entry.weight,
            priority=run.material.entry.priority,
            material=run.material.name,
            most_labels=run.config.limits.labels,
            n_initial=run.config.initial.labels,
            explore_steps=_explore_steps(run),
            shares=run.material.name if run.config.run.shared_ensemble else "",
        )
        for run in plan.runs
    ]


def _explore_steps(run: PlannedRun) -> tuple[int, ...]:
    """MD steps of each task that makes frames for initial data."""
    config, structure = run.config, run.material.structure
    initial = config.initial.record(config.dynamics, structure, lambda _: 0)
    return tuple(each.n_steps for each in initial.sources if each.n_steps) if initial else ()


def _copies(own: Sequence[PlayedRun], count: int) -> list[PlayedRun]:
    return [
        replace(
            run,
            name=f"{run.name}-{number}",
            material=f"{run.material}-{number // len(own)}",
            shares=run.shares and f"{run.shares}-{number // len(own)}",
        )
        for number, run in enumerate(islice(cycle(own), count))
    ]

"""Drive the runs of a campaign: open as there is room, shared fairly, within its budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from bnnflow.config import config_from_yaml, with_limits
from bnnflow.config.campaign import CampaignConfig
from bnnflow.config.expansion import PlannedRun
from bnnflow.data import RunStore, open_run, read_run
from bnnflow.data.lock import RunLock
from bnnflow.records import Phase
from executors.base import Executor
from executors.signals import stop_signals_raise
from workflows.campaign_folder import run_folder
from workflows.campaign_shared import (
    SharedMaterial,
    curators_name,
    shared_folder,
    update_ledger,
)
from workflows.deadline import Deadline
from workflows.driver import Walker, drive
from workflows.learner import Alone, Learner
from workflows.ledger import Ledger, ledger_of
from workflows.limits import Budget
from workflows.pooling import CalibrationPool
from workflows.session import longest_label_s, make_walker, open_executor
from workflows.shares import Share

Note = Callable[[str, str], None]
"""Is told the name of a run, and why it did not come to its end."""


def drive_campaign(
    folder: Path,
    campaign: CampaignConfig,
    runs: Sequence[PlannedRun],
    *,
    inline: bool,
    site: str | None,
    overrides: Sequence[str],
    on_stop: Note,
    on_leave: Note,
    deadline: Deadline | None = None,
) -> None:
    """Drive runs whose folders exist; one that fails stops no other.

    overrides: of the runs' limits; on_stop, on_leave: told of runs that an error or the deadline,
    or a limit, ended. Raises RunFolderError when another coordinator drives the campaign.
    """
    executor = open_executor(
        site or runs[0].config.run.site,
        inline=inline,
        folder=folder,
        longest_label_s=longest_label_s([run.config for run in runs]),
    )
    lock = RunLock(folder)
    told: list[Exception] = []

    def stopped(name: str, error: Exception) -> None:
        told.append(error)
        on_stop(name, str(error))

    try:
        with stop_signals_raise(), executor:
            found = _walkers(folder, campaign, runs, executor, overrides, stopped)
            walkers = (_reporting(each, name, stopped, on_stop, on_leave) for name, each in found)
            drive(walkers, executor, most_open=campaign.most_open, deadline=deadline)
    except Exception as error:
        if not any(error is each for each in told):
            raise
    finally:
        lock.release()


def _walkers(
    folder: Path,
    campaign: CampaignConfig,
    runs: Sequence[PlannedRun],
    executor: Executor,
    overrides: Sequence[str],
    stopped: Callable[[str, Exception], None],
) -> Iterator[tuple[str, Walker]]:
    """Opened one by one when it is their turn; those that are done are passed over."""
    before = _ledgers(folder, runs, executor) if campaign.limited else {}
    of_all = Budget(campaign.budget, before)
    pool = _pool(folder, campaign, runs)
    for name, group in groupby(runs, key=lambda run: run.material.name):
        members = list(group)
        entry = members[0].material.entry
        share = Share(name, weight=entry.weight, priority=entry.priority)
        own = {*(run.name for run in members), curators_name(name)}
        budget = Budget(
            entry.budget,
            {each: before[each] for each in own if each in before},
            whose=f"material {name}",
            within=of_all,
        )
        shared: SharedMaterial | None = None
        if members[0].config.run.shared_ensemble:
            try:
                shared = SharedMaterial(folder, members, executor, pool)
                if shared.idle:
                    shared.close()
                    continue
                curator = shared.curator(budget)
            except Exception as error:  # no walker of this material can go on; others can
                if shared is not None:
                    shared.close()
                for run in members:
                    stopped(run.name, error)
                continue
            yield shared.name, curator
        for run in members:
            try:
                learner = _Learners(pool, shared)
                path = run_folder(folder, run.name)
                walker = _open(path, run, executor, share, budget, overrides, learner)
            except Exception as error:  # whatever is wrong with its folder, it is that run's alone
                stopped(run.name, error)
                if shared is not None:
                    shared.commons.leave(run.name, done=False)
                continue
            if walker is not None:
                yield run.name, walker


@dataclass(frozen=True, eq=False)
class _Learners:
    """How the runs of one material learn. pool: of calibrations; shared: what they share."""

    pool: CalibrationPool | None
    shared: SharedMaterial | None

    def of(self, name: str, store: RunStore) -> Learner:
        """That of one run."""
        if self.shared is not None:
            return self.shared.learner(name, store)
        return Alone(self.pool, name)


def _pool(
    folder: Path, campaign: CampaignConfig, runs: Sequence[PlannedRun]
) -> CalibrationPool | None:
    """What all runs' errors said so far, where the campaign pools the priors of calibrations."""
    if campaign.calibration_prior == "own":
        return None
    section = runs[0].config.calibration
    pool = CalibrationPool(shape=section.shape, scale=section.scale)
    for run in runs:
        place = shared_folder(folder, run) if run.config.run.shared_ensemble else None
        name = run.name if place is None else run.material.name
        with suppress(Exception):  # a run that cannot be read says so when it is opened
            pool.put(name, read_run(place or run_folder(folder, run.name)).state.calibration)
    return pool


def _ledgers(folder: Path, runs: Sequence[PlannedRun], executor: Executor) -> dict[str, Ledger]:
    """What each run has used before this session; those that cannot be read say so later."""
    found = {}
    for run in runs:
        with suppress(Exception):
            found[run.name] = ledger_of(read_run(run_folder(folder, run.name)), executor)
        name = curators_name(run.material.name)
        if run.config.run.shared_ensemble and name not in found:
            with suppress(Exception):
                found[name] = update_ledger(shared_folder(folder, run), executor)
    return found


def _open(
    path: Path,
    run: PlannedRun,
    executor: Executor,
    share: Share,
    budget: Budget,
    overrides: Sequence[str],
    learners: _Learners,
) -> Walker | None:
    if read_run(path).state.phase is Phase.DONE:
        return None
    store = open_run(path)
    try:
        config = with_limits(config_from_yaml(store.config_text), overrides)
        shared = learners.shared
        walker = make_walker(
            config,
            store,
            executor,
            share=share if shared is None else shared.share,
            budget=budget,
            learner=learners.of(run.name, store),
        )
        if shared is not None:
            commons = shared.commons
            walker.on_end = lambda: commons.leave(run.name, done=store.state.phase is Phase.DONE)
        return walker
    except BaseException:
        store.close()
        raise


def _reporting(
    walker: Walker,
    name: str,
    stopped: Callable[[str, Exception], None],
    on_late: Note,
    on_leave: Note,
) -> Walker:
    log_stop, log_leave, log_late = walker.on_stop, walker.on_leave, walker.on_late

    def stop(error: Exception) -> None:
        log_stop(error)
        stopped(name, error)

    def leave(reason: str) -> None:
        log_leave(reason)
        on_leave(name, reason)

    def late(reason: str) -> None:
        log_late(reason)
        on_late(name, reason)

    walker.on_stop, walker.on_leave, walker.on_late = stop, leave, late
    return walker

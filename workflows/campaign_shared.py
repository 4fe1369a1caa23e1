"""The runs of a campaign whose walkers share an ensemble: one curator for each material."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

from bnnflow.config import RunConfig, config_from_yaml
from bnnflow.config.expansion import PlannedRun
from bnnflow.data import RunStore, is_run, open_run, read_run
from bnnflow.data.layout import SHARED
from bnnflow.data.segments import read_segment
from bnnflow.records import Commit, Labelled, LoopState, Phase
from executors.base import Executor
from workflows.campaign_folder import run_folder
from workflows.commons import Commons
from workflows.driver import Walker
from workflows.eventlog import begin_session
from workflows.ledger import Ledger, expect_as_long, ledger_of
from workflows.limits import Budget
from workflows.plan import Plan
from workflows.pooling import CalibrationPool
from workflows.progress import Progress, log_to, together
from workflows.session import create_shared, make_plan, relocated
from workflows.shares import Share
from workflows.sharing import Shared, curate, known_as


class SharedMaterial:
    """The walkers of one material, their commons, and its curator.

    runs: all of the material's; pool: of calibrations, where the campaign pools their priors.
    """

    def __init__(
        self,
        folder: Path,
        runs: Sequence[PlannedRun],
        executor: Executor,
        pool: CalibrationPool | None,
    ) -> None:
        entry = runs[0].material.entry
        self.name = runs[0].material.name
        self.share = Share(self.name, weight=entry.weight, priority=entry.priority)
        self._executor = executor
        self._config = _curators_config(folder, runs[0])
        home = shared_folder(folder, runs[0])
        if not is_run(home):
            create_shared(self._config, runs[0].material.structure, home)
        self._store = open_run(home)
        self.idle = False
        """Whether nothing is left to do."""
        try:
            self.commons = self._commons(folder, runs, pool)
        except BaseException:
            self._store.close()
            raise

    def _commons(
        self, folder: Path, runs: Sequence[PlannedRun], pool: CalibrationPool | None
    ) -> Commons:
        states = {run.name: read_run(run_folder(folder, run.name)).state for run in runs}
        members = [name for name, state in states.items() if state.phase is not Phase.DONE]
        self.idle = not members and self._store.state.phase is Phase.DONE
        begun = [name for name in members if _has_led(states[name])]
        state = _reopened(relocated(self._store.state, self._store.folder, self._config))
        leader = begun[0] if begun and state.ensemble is None else None
        return Commons(state, members, leader=leader, pool=pool, name=self.name)

    def curator(self, budget: Budget) -> Walker:
        """The loop that samples, ready to be driven."""
        store, config = self._store, self._config
        plan = self._plan()
        name = curators_name(self.name)
        progress = Progress(name, plan, log_to(store.folder / "run.log"))
        ledger = update_ledger(store.folder, self._executor)
        budget.join(name, ledger)
        expect_as_long(self.share, read_run(store.folder))
        log = begin_session(store.folder, config, self._executor, step=0)
        return Walker(
            name=name,
            loop=curate(self.commons, plan),
            store=store,
            on_commit=together(_of_updates(ledger.observe), _of_updates(progress.show), log.show),
            on_stop=together(progress.stop, log.stop, self.commons.fail),
            on_notice=together(progress.notice, log.notice),
            on_leave=together(progress.leave, log.leave),
            on_late=together(progress.leave, log.late, lambda _: self.commons.give_up()),
            share=self.share,
            counted=False,
        )

    def learner(self, name: str, store: RunStore) -> Shared:
        """How one of the walkers learns; labels that the curator lacks are handed in again."""
        missing = {
            label
            for label in store.state.labels
            if not self.commons.knows(known_as(store.folder.resolve(), label))
        }
        self.commons.enter(name)
        return Shared(self.commons, name, _labelled(store, missing))

    def close(self) -> None:
        """Let another coordinator have the curator's run."""
        self._store.close()

    def _plan(self) -> Plan:
        store, config = self._store, self._config
        structure = store.state.checkpoint.structure
        chains = self._executor.chains_per_task(config.sampler.chains)
        plan = make_plan(config, store.folder, structure, chains_per_task=chains)
        return replace(plan, labels=str(run_folder(store.folder.resolve().parent.parent, "")))


def _labelled(store: RunStore, names: set[str]) -> list[Labelled]:
    """Events of some labels of a run, oldest first: they are among its last commits."""
    found: list[Labelled] = []
    number = store.number
    while len(found) < len(names) and number > 0:
        events = read_segment(store.folder, number).events
        found += [e for e in events[::-1] if isinstance(e, Labelled) and e.name in names]
        number -= 1
    return found[::-1]


def curators_name(material: str) -> str:
    """What a material's curator is called."""
    return f"{material} ({SHARED})"


def shared_folder(folder: Path, run: PlannedRun) -> Path:
    """Where the curator's run of a walker lies."""
    return (run_folder(folder, run.name).resolve() / run.config.run.shared_ensemble).resolve()


def _curators_config(folder: Path, run: PlannedRun) -> RunConfig:
    """That of the first walker, whose prior and model are those of all."""
    config = config_from_yaml(read_run(run_folder(folder, run.name)).config_text)
    material = config.material.model_copy(update={"name": run.material.name})
    settings = config.run.model_copy(update={"shared_ensemble": "."})
    return config.model_copy(update={"material": material, "run": settings})


def _reopened(state: LoopState) -> LoopState:
    """A curator that was done goes on if a walker does."""
    return replace(state, phase=Phase.PROPAGATE) if state.phase is Phase.DONE else state


def _has_led(state: LoopState) -> bool:
    """Whether a walker without an ensemble has begun to label for the first one."""
    before = state.ensemble is None and state.phase is not Phase.LABEL
    return before or (state.ensemble is None and bool(state.labels))


def update_ledger(folder: Path, executor: Executor) -> Ledger:
    """What a curator's updates have used; labels are on their walkers' accounts."""
    found = read_run(folder)
    none = {item.name: getattr(found.labels, item.name)[:0] for item in fields(found.labels)}
    return ledger_of(replace(found, labels=replace(found.labels, **none)), executor)


def _of_updates(hear: Callable[[Commit], None]) -> Callable[[Commit], None]:
    """Hears of a commit without its labels, of which the walkers tell."""

    def tell(commit: Commit) -> None:
        rest = tuple(event for event in commit.events if not isinstance(event, Labelled))
        hear(replace(commit, events=rest))

    return tell

"""Start and resume runs: from configs and folders to walkers over an executor.

from bnnflow import load_config
from workflows.session import fine_tune

fine_tune([load_config("ethanol.yaml")], folders=["runs/ethanol"])
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bnnflow.config import RunConfig, check_run, config_from_yaml, with_limits
from bnnflow.data import RunData, RunStore, create_run, is_run, open_run, read_run
from bnnflow.errors import ConfigError, RunFolderError
from bnnflow.materials import displaced
from bnnflow.md import start
from bnnflow.potentials.registry import load_potential, locate, sha256
from bnnflow.records import EnsembleRef, LoopState, Phase, Structure
from bnnflow.training.prior_scale import suggest_prior_std
from bnnflow.units import from_kcal_per_mol
from executors.base import Executor
from executors.inline import InlineExecutor
from executors.signals import stop_signals_raise
from workflows.deadline import Deadline
from workflows.driver import Walker, drive
from workflows.eventlog import begin_session
from workflows.learner import Learner
from workflows.ledger import expect_as_long, ledger_of
from workflows.limits import Budget, reason_to_leave
from workflows.otf import fine_tune as otf_loop
from workflows.plan import Plan
from workflows.progress import Progress, log_to, together
from workflows.shares import Share


@dataclass(frozen=True)
class RunSummary:
    """How a run ended: its folder, labels in the data set, MD time in ps."""

    folder: Path
    labels: int
    time_ps: float
    finished: bool


def fine_tune(
    configs: Sequence[RunConfig],
    *,
    folders: Sequence[Path | str],
    inline: bool = False,
    site: str | None = None,
    deadline: Deadline | None = None,
) -> list[RunSummary]:
    """Fine-tune on the fly, several materials at once over shared pools.

    configs, folders: one each per material; inline: work in this process, without Parsl; site:
    site config by name or path (default: the first config's); deadline: when to be done or to
    leave the rest to `resume`. Everything is checked before anything is written. Raises UserError
    for what the user can put right, TaskError when a run's tasks fail too often; the other runs
    finish first, and all can be resumed.
    """
    paths = [Path(folder) for folder in folders]
    _refuse_doubles(paths)
    _refuse_shared(configs)
    structures = [check_run(config) for config in configs]
    whole = [pinned(config, each) for config, each in zip(configs, structures, strict=True)]
    for config, path in zip(whole, paths, strict=True):
        _refuse_taken(config, path)
    states = [_first_state(config, each) for config, each in zip(whole, structures, strict=True)]
    executor = open_executor(
        site or configs[0].run.site,
        inline=inline,
        folder=paths[0],
        longest_label_s=longest_label_s(configs),
    )
    with ExitStack() as stack:
        stores = [
            stack.enter_context(_create(config, state, path))
            for config, state, path in zip(whole, states, paths, strict=True)
        ]
        return _run(whole, stores, executor, deadline)


def check_site(
    configs: Sequence[RunConfig], folder: Path, *, inline: bool = False, site: str | None = None
) -> None:
    """Raise UserError for a site that is unknown, wrong, or no place for these runs' labels."""
    name = site or configs[0].run.site
    open_executor(name, inline=inline, folder=folder, longest_label_s=longest_label_s(configs))


def create(config: RunConfig, structure: Structure, folder: Path) -> None:
    """Make the folder of a run, for `resume` to begin.

    config: pinned; structure: of its material, checked. Raises RunFolderError when the folder
    holds a run.
    """
    _refuse_taken(config, folder)
    _create(config, _first_state(config, structure), folder).close()


def resume(
    folders: Sequence[Path | str],
    *,
    inline: bool = False,
    site: str | None = None,
    overrides: Sequence[str] = (),
    deadline: Deadline | None = None,
) -> list[RunSummary]:
    """Go on with interrupted runs from their last commit, on any layout of the pools.

    Labels that were finished but not committed are taken from their folders; one that was running
    is run again. overrides: `limits.KEY=VALUE`, the only keys that may change; deadline: as there.
    Raises RunFolderError when a folder holds no run or is being driven already.
    """
    paths = [Path(folder) for folder in folders]
    _refuse_doubles(paths)
    with ExitStack() as stack:
        stores = [stack.enter_context(open_run(path)) for path in paths]
        configs = [with_limits(config_from_yaml(store.config_text), overrides) for store in stores]
        _refuse_shared(configs)
        name = site or configs[0].run.site
        longest = longest_label_s(configs)
        executor = open_executor(name, inline=inline, folder=paths[0], longest_label_s=longest)
        return _run(configs, stores, executor, deadline)


def open_executor(
    site: str, *, inline: bool, folder: Path, longest_label_s: float = 0.0
) -> Executor:
    """The pools of a site, or this process.

    folder: where logs of the pools go; longest_label_s: how long a label may take.
    """
    if inline:
        return InlineExecutor()
    from executors.pools import ParslExecutor  # Parsl takes a second to import
    from executors.site import load_site

    return ParslExecutor(load_site(site), folder, longest_label_s=longest_label_s)


def longest_label_s(configs: Sequence[RunConfig]) -> float:
    """How long a label of these runs may take."""
    return max(config.reference.timeout_s for config in configs)


def make_plan(
    config: RunConfig, folder: Path, structure: Structure, *, chains_per_task: int
) -> Plan:
    """What a config fixes for the loop of one material."""
    n_atoms = len(structure)

    def seed_of(source: str) -> int:
        return derived_seed(config.run.seed, "initial", config.material.name, source)

    return Plan(
        folder=str(folder.resolve()),
        potential=config.potential.record(),
        prior_std=_known(config.potential.prior_std),
        head_prior_std=config.potential.head_prior_std,
        reference=config.reference.spec(),
        handling=config.reference.handling(),
        dynamics=config.dynamics.record(),
        n_steps=config.dynamics.n_steps,
        segment_steps=config.dynamics.checkpoint_every_steps,
        threshold=config.threshold.energy_threshold_eV(n_atoms),
        energy_std=config.threshold.energy_std_eV(n_atoms),
        confidence=config.threshold.confidence,
        schedule=config.schedule(),
        n_members=config.sampler.chains,
        chains_per_task=chains_per_task,
        continue_on=config.run.continue_on,
        while_labelling=config.run.while_labelling,
        failure_budget=config.reference.failure_budget,
        seed=derived_seed(config.run.seed, "chains", config.material.name),
        faults=config.faults,
        audit_every_steps=config.calibration.audit_every_steps,
        calibration_use=config.calibration.use,
        force_regions=config.threshold.regions(structure),
        guards=config.guards.record(),
        initial=config.initial.record(config.dynamics, structure, seed_of),
    )


def newest_ensemble(run: RunData, folder: Path) -> EnsembleRef:
    """The last committed ensemble of a run, where its folder lies now.

    Raises RunFolderError when the run has none yet.
    """
    state = relocated(run.state, folder, config_from_yaml(run.config_text))
    if state.ensemble is None:
        raise RunFolderError(f"{folder} has no ensemble yet: resume the run until its first update")
    return state.ensemble


def derived_seed(seed: int, *names: str) -> int:
    """A seed of its own for each purpose, from the config's one seed."""
    digest = hashlib.sha256(":".join([str(seed), *names]).encode()).digest()
    return int.from_bytes(digest[:7], "little")


def pinned(config: RunConfig, structure: Structure) -> RunConfig:
    """The config with what a run finds at its start: its model's checksum, its prior's widths."""
    return with_prior(_with_checksum(config), structure)


def with_prior(config: RunConfig, structure: Structure) -> RunConfig:
    """The config with numbers for the prior's widths: its own, or those that give draws of the
    prior the spread of forces that it expects, on the structure it starts from."""
    section = config.potential
    if config.sampler.schedule == "published" or None not in (
        section.prior_std,
        section.head_prior_std,
    ):
        return config
    found = suggest_prior_std(
        load_potential(replace(section.record(), device="cpu")),
        [structure],
        force_spread=from_kcal_per_mol(config.sampler.prior_force_spread_kcal_per_mol_A),
        power=config.sampler.prior_power,
    )
    widths = {
        "prior_std": section.prior_std or found.std,
        "head_prior_std": section.head_prior_std or found.head_std,
    }
    potential = section.model_copy(update=widths)
    return config.model_copy(update={"potential": potential})


def _known(prior_std: float | None) -> float:
    if prior_std is None:
        raise ConfigError(
            "potential.prior_std is not set, expected a number: start the run with `bnnflow run`, "
            "which finds it"
        )
    return prior_std


def _with_checksum(config: RunConfig) -> RunConfig:
    """The config with its model file pinned: ensembles hold only what was sampled of it."""
    model = config.potential
    checksum = model.checksum or sha256(locate(model.model))
    potential = model.model_copy(update={"checksum": checksum})
    return config.model_copy(update={"potential": potential})


def _refuse_taken(config: RunConfig, folder: Path) -> None:
    if not is_run(folder):
        return
    if read_run(folder).metadata.get("digest") == config.digest():
        raise RunFolderError(f"{folder} holds this run already: `bnnflow resume {folder}`")
    raise RunFolderError(f"{folder} holds a run of another config: choose another folder")


def _first_state(config: RunConfig, structure: Structure) -> LoopState:
    seed = derived_seed(config.run.seed, "walker", config.material.name)
    structure = displaced(
        structure,
        std=config.material.displacement_A,
        seed=derived_seed(config.run.seed, "displacements", config.material.name),
    )
    checkpoint = start(structure, dynamics=config.dynamics.record(), seed=seed)
    return LoopState(
        phase=Phase.LABEL,
        checkpoint=checkpoint,
        calibration=config.calibration.record(),
        frame=checkpoint.structure,
        estimates=config.calibration.estimates(len(config.threshold.regions(structure))),
    )


def create_shared(config: RunConfig, structure: Structure, folder: Path) -> None:
    """Make the folder of a run that has no MD: it samples what walkers of its material share."""
    state = replace(_first_state(config, structure), phase=Phase.PROPAGATE, frame=None)
    _create(config, state, folder).close()


def _create(config: RunConfig, state: LoopState, folder: Path) -> RunStore:
    metadata = {
        "timestep_fs": config.dynamics.timestep_fs,
        "seed": config.run.seed,
        "schedule": config.schedule().name,
        "digest": config.digest(),
    }
    return create_run(folder, config_text=config.to_yaml(), metadata=metadata, state=state)


def _run(
    configs: Sequence[RunConfig],
    stores: Sequence[RunStore],
    executor: Executor,
    deadline: Deadline | None,
) -> list[RunSummary]:
    unfinished = any(store.state.phase is not Phase.DONE for store in stores)
    if unfinished:
        with stop_signals_raise(), executor:
            drive(
                [
                    make_walker(config, store, executor)
                    for config, store in zip(configs, stores, strict=True)
                ],
                executor,
                deadline=deadline,
            )
    return [_summary(config, store) for config, store in zip(configs, stores, strict=True)]


def make_walker(
    config: RunConfig,
    store: RunStore,
    executor: Executor,
    *,
    share: Share | None = None,
    budget: Budget | None = None,
    learner: Learner | None = None,
) -> Walker:
    """One open run, ready to be driven.

    share: its claim on the pools, by default that of every other run; budget: of all runs together;
    learner: who samples its ensemble, by default itself.
    """
    chains = executor.chains_per_task(config.sampler.chains)
    structure = store.state.checkpoint.structure
    plan = make_plan(config, store.folder, structure, chains_per_task=chains)
    progress = Progress(config.material.name, plan, log_to(store.folder / "run.log"))
    found = read_run(store.folder)
    progress.catch_up(found)
    ledger = budget.ledger_of(config.material.name) if budget is not None else None
    ledger = ledger or ledger_of(found, executor)
    if budget is not None:
        budget.join(config.material.name, ledger)
    share = share or Share(config.material.name)
    expect_as_long(share, found)
    log = begin_session(store.folder, config, executor, step=store.state.checkpoint.step)

    def enough() -> str:
        own = reason_to_leave(config.limits, ledger)
        return own or (budget.reason_to_leave(ledger) if budget is not None else "")

    return Walker(
        name=config.material.name,
        loop=otf_loop(relocated(store.state, store.folder, config), plan, learner),
        store=store,
        on_commit=together(ledger.observe, progress.show, log.show),
        enough=enough,
        share=share,
        on_stop=together(progress.stop, log.stop),
        on_notice=together(progress.notice, log.notice),
        on_leave=together(progress.leave, log.leave),
        on_late=together(progress.leave, log.late),
    )


def relocated(state: LoopState, folder: Path, config: RunConfig) -> LoopState:
    """The same state where the run folder lies now: a run may be moved between sessions."""
    if state.ensemble is None:
        return state
    home = (folder.resolve() / config.run.shared_ensemble).resolve()
    directory = home / "ensemble" / Path(state.ensemble.directory).name
    return replace(state, ensemble=replace(state.ensemble, directory=str(directory)))


def _summary(config: RunConfig, store: RunStore) -> RunSummary:
    state = store.state
    return RunSummary(
        folder=store.folder,
        labels=len(state.labels),
        time_ps=state.checkpoint.step * config.dynamics.timestep_fs / 1000.0,
        finished=state.phase is Phase.DONE,
    )


def _refuse_shared(configs: Sequence[RunConfig]) -> None:
    for config in configs:
        if config.run.shared_ensemble:
            raise RunFolderError(
                f"run {config.material.name} shares its ensemble with others of a campaign, "
                "expected a run of its own: resume the folder of the campaign"
            )


def _refuse_doubles(paths: Sequence[Path]) -> None:
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise RunFolderError("two runs share a folder: give every run a folder of its own")

"""Class-level fine-tuning: the labels of many runs in one posterior over their foundation model.

from workflows.merge import merge

print(merge(["runs/small-molecules"], into="runs/class", hold_out=["ethanol"]).table())

The next material then starts from `potential.model: runs/class/model.safetensors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bnnflow import tasks
from bnnflow.config.sections import SamplerConfig
from bnnflow.errors import ConfigError, RunFolderError, TaskError
from bnnflow.potentials.ensemble import mean_of_members
from bnnflow.potentials.fine_tuned import check_writable, save_fine_tuned
from bnnflow.potentials.registry import sha256
from bnnflow.records import (
    EnsembleRef,
    Failure,
    PotentialSpec,
    Prediction,
    PredictRequest,
    SampleRequest,
    SampleResult,
)
from executors.base import Executor, Pool
from executors.signals import stop_signals_raise
from workflows.merge_card import CARD, MergeResult, card_of, write_card
from workflows.merge_data import found_the_labels, merged_data, require_room
from workflows.merge_sources import Source, collect, thinned
from workflows.requests import deal, gentler
from workflows.session import derived_seed, longest_label_s, open_executor
from workflows.submission import Submission

MODEL, ENSEMBLE = "model.safetensors", "ensemble"
SAMPLING_TRIES = 3
"""How often the chains of one task may fail."""


def merge(
    folders: Sequence[Path | str],
    *,
    into: Path | str,
    hold_out: Sequence[str] = (),
    sampler: SamplerConfig | None = None,
    most_labels: int | None = None,
    seed: int = 1,
    inline: bool = False,
    site: str | None = None,
) -> MergeResult:
    """Sample one posterior from the labels of runs and write it as a foundation model.

    folders: runs and campaigns, of one level of theory and one foundation model; into: folder of
    the ensemble, the model and its card; hold_out: materials (or runs) to judge by; sampler: `rto`
    with its defaults if None; most_labels: learned from, dealt evenly over the runs (None: all).
    Labels of one composition share one energy shift. The model's weights are the mean of the
    chains. Interrupted, and called again, it goes on.

    Raises UserError for what the user can put right, before anything is written; TaskError when
    chains or predictions fail.
    """
    path, section = Path(into).resolve(), sampler or SamplerConfig()
    sources = thinned(collect([Path(folder) for folder in folders], hold_out), most_labels)
    spec = sources[0].run.config.potential.record()
    _check(path, section, spec, sources)
    with stop_signals_raise(), _executor(sources, path, inline=inline, site=site) as executor:
        path.mkdir(parents=True, exist_ok=True)
        before = _predict(executor, spec, None, sources)
        data = merged_data(sources, before, section, spec)
        ensemble = EnsembleRef(str(path / ENSEMBLE), 1, section.chains)
        request = data.request(spec, section, ensemble, seed=derived_seed(seed, "merge"))
        results = _sample(executor, request)
        merged = _write_model(spec, ensemble, found_the_labels(results), path / MODEL)
        predictions = {
            "foundation": before,
            "merged": _predict(executor, merged, None, sources),
            "ensemble": _predict(executor, spec, ensemble, sources),
        }
    card = card_of(
        sources, predictions, data=data, section=section, spec=spec, results=results, seed=seed
    )
    return write_card(path, path / MODEL, {"sha256": merged.checksum, **card})


def _check(
    path: Path, section: SamplerConfig, spec: PotentialSpec, sources: Sequence[Source]
) -> None:
    if (path / CARD).exists():
        raise RunFolderError(f"{path} holds a merged model already: choose another folder")
    if section.schedule != "rto":
        raise ConfigError(
            f"sampler.schedule is {section.schedule}, expected rto: labels are merged by it alone"
        )
    check_writable(spec)
    require_room(sources, spec)


def _executor(
    sources: Sequence[Source], folder: Path, *, inline: bool, site: str | None
) -> Executor:
    configs = [source.run.config for source in sources]
    name, longest = site or configs[0].run.site, longest_label_s(configs)
    return open_executor(name, inline=inline, folder=folder, longest_label_s=longest)


def _sample(executor: Executor, whole: SampleRequest) -> tuple[SampleResult, ...]:
    """All chains, dealt to tasks; those of a failed task start again."""
    per_task = executor.chains_per_task(whole.n_members)
    waiting = [replace(whole, chains=chains) for chains in deal(whole.n_members, per_task)]
    done: list[SampleResult] = []
    for _ in range(SAMPLING_TRIES):
        pending = [Submission(executor, Pool.GPU, tasks.sample, request) for request in waiting]
        outcomes = [(each.request, each.result()) for each in pending]
        done += [found for _, found in outcomes if isinstance(found, SampleResult)]
        failed = [(asked, found) for asked, found in outcomes if isinstance(found, Failure)]
        if not failed:
            return tuple(sorted(done, key=lambda result: result.chains))
        waiting = [gentler(asked, failure) for asked, failure in failed]
    raise TaskError(f"sampling failed {SAMPLING_TRIES} times: {failed[0][1].message}")


def _predict(
    executor: Executor,
    spec: PotentialSpec,
    ensemble: EnsembleRef | None,
    sources: Sequence[Source],
) -> list[tuple[Prediction, ...]]:
    """Of every label of every run."""
    pending = [
        Submission(executor, Pool.MD, tasks.predict, _request(spec, ensemble, source))
        for source in sources
    ]
    outcomes = [each.result() for each in pending]
    for source, outcome in zip(sources, outcomes, strict=True):
        if isinstance(outcome, Failure):
            raise TaskError(f"predicting labels of {source.name} failed: {outcome.message}")
    return outcomes


def _request(spec: PotentialSpec, ensemble: EnsembleRef | None, source: Source) -> PredictRequest:
    structures = tuple(label.structure for label in source.labels)
    return PredictRequest(spec, ensemble, source.run.floor, structures)


def _write_model(
    spec: PotentialSpec, ensemble: EnsembleRef, chains: Sequence[int], path: Path
) -> PotentialSpec:
    """Write the mean of some chains; returns what loads it."""
    here = replace(spec, device="cpu")
    save_fine_tuned(here, mean_of_members(here, ensemble, chains), path)
    return replace(spec, model=str(path), checksum=sha256(path), allow_pickle=False)

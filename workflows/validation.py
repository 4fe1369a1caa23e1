"""After a run: label random unlabelled frames, and say how good the models are on them."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnnflow import tasks
from bnnflow.analysis.draw import Frames, draw_frames
from bnnflow.analysis.run import Run, load
from bnnflow.analysis.validation import VALIDATION_FILE, ValidationResult, judge
from bnnflow.codec import publish
from bnnflow.errors import FaultError, PoolLostError, RunFolderError, TaskError
from bnnflow.records import (
    EnsembleRef,
    Failure,
    FailureCause,
    Label,
    LabelRequest,
    Prediction,
    PredictRequest,
    Structure,
)
from executors.base import Executor, Pool
from workflows.session import open_executor
from workflows.submission import Submission


def validate(
    folder: Path,
    *,
    frames: int = 50,
    seed: int = 0,
    minimum_spacing_fs: float = 20.0,
    inline: bool = False,
    site: str | None = None,
) -> ValidationResult:
    """Label random unlabelled frames of a run and score its newest ensemble on them.

    frames: how many (fewer when no more fit); seed: which draw; minimum_spacing_fs: between any
    two; inline: without pools; site: other than the run's. Labels are kept in
    `validation/STEP/`, so that a repeated or interrupted validation redoes nothing; the figures go
    to validation.json. Raises RunFolderError when there is nothing to validate, TaskError when no
    frame could be labelled or a prediction failed.
    """
    began = time.monotonic()
    run = load(folder.resolve())
    ensemble = _newest(run)
    drawn = draw_frames(run, count=frames, seed=seed, spacing_fs=minimum_spacing_fs)
    if not len(drawn):
        raise RunFolderError(f"{folder} has no unlabelled MD step yet: let the run go on first")
    with open_executor(site or run.config.run.site, inline=inline, folder=run.folder) as executor:
        outcomes = _label_all(executor, run, drawn)
        kept = drawn.kept([isinstance(outcome, Label) for outcome in outcomes])
        labels = [outcome for outcome in outcomes if isinstance(outcome, Label)]
        failures = tuple(found.message for found in outcomes if isinstance(found, Failure))
        if not labels:
            raise TaskError(f"no validation frame of {folder} could be labelled: {failures[0]}")
        tuned, foundation = _predict_all(executor, run, ensemble, kept.structures)
    result = judge(run, ensemble, kept, labels, tuned, foundation)
    seconds = time.monotonic() - began
    result = replace(result, requested=frames, failures=failures, seed=seed, seconds=seconds)
    _save(run.folder / VALIDATION_FILE, result.as_dict())
    return result


def _newest(run: Run) -> EnsembleRef:
    ensemble = run.ensemble
    if ensemble is None or run.data.state.energy_shift is None:
        raise RunFolderError(f"{run.folder} has no ensemble yet: let it reach its first update")
    return ensemble


def _label_all(executor: Executor, run: Run, drawn: Frames) -> list[Label | Failure]:
    """Label every frame; one that was finished before comes back from its folder."""
    pending = [
        Submission(
            executor,
            Pool.DFT,
            tasks.label,
            LabelRequest(
                reference=run.config.reference.spec(),
                structure=structure,
                directory=str(run.folder / "validation" / f"{step:04d}"),
                handling=run.config.reference.handling(),
            ),
        )
        for step, structure in zip(drawn.steps, drawn.structures, strict=True)
    ]
    return [_outcome(submission) for submission in pending]


def _outcome(submission: Submission) -> Label | Failure:
    """A label lost with its worker costs that frame only."""
    try:
        outcome: Label | Failure = submission.result()
        return outcome
    except PoolLostError:
        raise
    except FaultError as error:
        return Failure("label", FailureCause.CRASHED, str(error))


def _predict_all(
    executor: Executor, run: Run, ensemble: EnsembleRef, structures: tuple[Structure, ...]
) -> tuple[tuple[Prediction, ...], tuple[Prediction, ...]]:
    """Predictions of the fine-tuned ensemble, and of the foundation model."""
    potential = run.config.potential.record()
    pending = [
        Submission(
            executor,
            Pool.MD,
            tasks.predict,
            PredictRequest(potential, which, run.floor, structures),
        )
        for which in (ensemble, None)
    ]
    tuned, foundation = (_predicted(submission.result()) for submission in pending)
    return tuned, foundation


def _predicted(outcome: tuple[Prediction, ...] | Failure) -> tuple[Prediction, ...]:
    if isinstance(outcome, Failure):
        raise TaskError(f"predicting validation frames failed: {outcome.message}")
    return outcome


def _save(path: Path, figures: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    text = json.dumps(figures, indent=2, allow_nan=False)
    temporary.write_text(text + "\n", encoding="utf-8")
    publish(temporary, path)

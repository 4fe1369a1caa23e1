"""Label one structure in a directory of its own, and harvest labels that are already there.

Each attempt runs in a fresh `attempt-NN/` (`evidence`). One whose self-consistent field does not
converge is followed by the code's remedies. `result.h5` beside them appears only when the label is
good, `failure.h5` when the last attempt gave none (DECISIONS 15).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bnnflow import codec
from bnnflow.errors import ReferenceError, UserError
from bnnflow.records import Failure, FailureCause, Handling, Label, LabelRequest
from bnnflow.reference.base import InProcess, Reference, Remedy
from bnnflow.reference.checks import failed, same_structure
from bnnflow.reference.evidence import (
    LOG,
    attempts,
    clear_scratch,
    drop_restart_files,
    lay_restart_files,
    new_attempt,
    tidy,
)
from bnnflow.reference.launch import launched
from bnnflow.reference.process import Ended, log_tail, run_command
from bnnflow.reference.registry import build_reference
from bnnflow.reference.room import lacking, ran_out_of

_RESULT, _FAILURE, _REPLACED = "result.h5", "failure.h5", "replaced.h5"
_SETTINGS = "reference"
_NO_PROGRAM = 127


def label(request: LabelRequest) -> Label | Failure:
    """Calculate one label, or return the finished one of the same structure from its directory.

    The label is on disk when this returns. Whatever goes wrong with the calculation comes back as
    a Failure with its cause; it is kept too, and never stands in the way of another attempt.
    """
    started = time.monotonic()
    directory = Path(request.directory)
    try:
        finished = _harvest(request, directory)
        if finished is not None:
            return finished
        outcome = _solve(request, directory)
        if isinstance(outcome, Label):
            return _keep_label(outcome, request, time.monotonic() - started)
    except UserError as error:
        outcome = failed(FailureCause.BAD_INPUT, _one_line(str(error)))
    except Exception as error:  # the border of a task: whatever happened travels as a record
        message = _one_line(f"{type(error).__name__}: {error}")
        outcome = failed(FailureCause.CRASHED, message, traceback=traceback.format_exc())
    return _keep_failure(outcome, directory, time.monotonic() - started)


def read_label(directory: Path) -> Label | None:
    """The finished label of a folder, None when there is none that can be read."""
    try:
        return codec.load_record(directory / _RESULT, Label)
    except OSError:
        return None


def _harvest(request: LabelRequest, directory: Path) -> Label | None:
    """The finished label of this structure and reference; a label of another is set aside."""
    finished = read_label(directory)
    if finished is None:
        return None
    same_reference = finished.details.get(_SETTINGS) == _settings(request)
    if same_reference and same_structure(finished.structure, request.structure):
        return finished
    os.replace(directory / _RESULT, directory / _REPLACED)
    return None


def _solve(request: LabelRequest, directory: Path) -> Label | Failure:
    """Try the reference, then its remedies, until the self-consistent field converges."""
    reference = build_reference(request.reference)
    reference.check(request.structure)
    deadline = time.monotonic() + request.handling.timeout_s
    usual = _attempt(reference, request, directory, deadline=deadline, previous=request.previous)
    outcome, tried = usual, list[str]()
    for remedy in reference.remedies():
        if isinstance(outcome, Label) or outcome.cause is not FailureCause.NOT_CONVERGED:
            break
        _same_level(remedy.reference, reference)
        outcome = _remedied(remedy, request, directory, deadline=deadline)
        if not reference.restart_files:
            drop_restart_files(remedy.reference, request.directory)
        tried.append(remedy.name)
    if isinstance(outcome, Label):
        for attempt in attempts(directory)[:-1]:
            clear_scratch(reference, attempt)
        if not request.followed:
            drop_restart_files(reference, request.directory)
    return _told(usual, outcome, tried)


def _remedied(
    remedy: Remedy, request: LabelRequest, directory: Path, *, deadline: float
) -> Label | Failure:
    """The remedy's calculation, after the one it begins with, if there is one."""
    if remedy.start is None:
        return _attempt(remedy.reference, request, directory, deadline=deadline)
    start = _attempt(remedy.start, request, directory, deadline=deadline)
    if isinstance(start, Failure):
        return start
    before = request.directory
    return _attempt(remedy.reference, request, directory, deadline=deadline, previous=before)


def _attempt(
    reference: Reference,
    request: LabelRequest,
    directory: Path,
    *,
    deadline: float,
    previous: str = "",
) -> Label | Failure:
    """One calculation in a folder of its own. previous: the label it may start from."""
    attempt = new_attempt(directory)
    failure = lacking(request.handling, attempt)
    if failure is not None:
        return replace(failure, directory=str(attempt))
    restarted = lay_restart_files(reference, previous, attempt)
    reference.prepare(request.structure, attempt)
    failure = _execute(reference, attempt, request.handling, deadline - time.monotonic())
    if failure is not None:
        return replace(failure, directory=str(attempt))
    outcome = reference.parse(request.structure, attempt)
    if isinstance(outcome, Failure):
        return replace(outcome, directory=str(attempt), traceback=log_tail(attempt / LOG))
    tidy(reference, attempt, request.handling.keep)
    drop_restart_files(reference, request.previous)
    source = Path(previous).name if restarted and previous == request.previous else ""
    return _noted(outcome, restarted_from=source) if source else outcome


def _execute(
    reference: Reference, attempt: Path, handling: Handling, left_s: float
) -> Failure | None:
    log = attempt / LOG
    if isinstance(reference, InProcess) and not reference.isolated:
        return _run_here(reference, attempt, log)
    command = reference.command(attempt)
    if reference.parallel:
        command = launched(command, launcher=handling.launcher)
    ended = run_command(command, attempt, timeout_s=left_s, log=log, gently=reference.parallel)
    if ended.exit_code is None:
        message = f"killed at the limit of {handling.timeout_s:g} s for all attempts of a label"
        return failed(FailureCause.TIMED_OUT, message, traceback=log_tail(log))
    if not ended.exit_code:
        return None
    if ended.exit_code == _NO_PROGRAM:
        message = f"no program was found for {' '.join(command)}: install it or load its module"
        return failed(FailureCause.BAD_INPUT, _one_line(message), traceback=log_tail(log))
    explained = reference.explain(attempt)
    if explained is not None:
        return replace(explained, traceback=log_tail(log))
    return _crash(ended, log)


def _run_here(reference: InProcess, attempt: Path, log: Path) -> Failure | None:
    try:
        reference.run(attempt)
    except Exception as error:  # any library may raise anything; it becomes evidence
        log.write_text(traceback.format_exc())
        message = _one_line(f"{type(error).__name__}: {error}")
        return failed(FailureCause.CRASHED, message, traceback=log_tail(log))
    return None


def _crash(ended: Ended, log: Path) -> Failure:
    tail = log_tail(log)
    last = tail.splitlines()[-1] if tail else "it printed nothing"
    cause = ran_out_of(tail) or FailureCause.CRASHED
    return failed(cause, _one_line(f"{ended.how}: {last}"), traceback=tail)


def _same_level(remedy: Reference, reference: Reference) -> None:
    if remedy.level != reference.level:
        raise ReferenceError(
            f"a remedy calculates at {remedy.level}, expected {reference.level}: correct remedies()"
        )


def _told(
    usual: Label | Failure, outcome: Label | Failure, remedies: Sequence[str]
) -> Label | Failure:
    """Say in the record which remedies were tried; the last of a label is the one that helped."""
    if not remedies or isinstance(usual, Label):
        return outcome
    if isinstance(outcome, Label):
        return _noted(outcome, remedies=list(remedies))
    last = "" if outcome.cause is usual.cause else f", the last of which {outcome.message}"
    message = f"{usual.message}; tried too: {', '.join(remedies)}{last}"
    return replace(outcome, message=_one_line(message))


def _noted(label: Label, **details: Any) -> Label:
    return replace(label, details={**label.details, **details})


def _settings(request: LabelRequest) -> str:
    """Every setting of the reference, as text: the level in words leaves some of them out."""
    return json.dumps(request.reference, sort_keys=True, default=str)


def _keep_label(outcome: Label, request: LabelRequest, seconds: float) -> Label:
    directory = Path(request.directory)
    kept = replace(
        outcome,
        directory=str(directory),
        seconds=seconds,
        host=socket.gethostname(),
        details={**outcome.details, _SETTINGS: _settings(request)},
    )
    codec.save_record(directory / _RESULT, kept)
    (directory / _FAILURE).unlink(missing_ok=True)
    return kept


def _keep_failure(outcome: Failure, directory: Path, seconds: float) -> Failure:
    kept = replace(
        outcome,
        directory=outcome.directory or str(directory),
        seconds=seconds,
        host=socket.gethostname(),
    )
    with contextlib.suppress(OSError):  # a full disk may be the very failure being reported
        directory.mkdir(parents=True, exist_ok=True)
        codec.save_record(directory / _FAILURE, kept)
    return kept


def _one_line(text: str) -> str:
    return " ".join(text.split())[:400]

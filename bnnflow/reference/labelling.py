"""Label one structure in a directory of its own, and harvest labels that are already there.

Each attempt runs in a fresh `attempt-NN/`, which stays as evidence; `result.h5` beside it appears
only when the label is good, `failure.h5` when the last attempt gave none (DECISIONS 15).
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import traceback
from dataclasses import replace
from pathlib import Path

from bnnflow import codec
from bnnflow.errors import UserError
from bnnflow.records import Failure, FailureCause, Label, LabelRequest
from bnnflow.reference.base import InProcess, Reference
from bnnflow.reference.checks import failed, same_structure
from bnnflow.reference.process import Ended, log_tail, run_command
from bnnflow.reference.registry import build_reference

_RESULT, _FAILURE, _REPLACED, _LOG = "result.h5", "failure.h5", "replaced.h5", "output.log"
_SETTINGS = "reference"


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
        outcome = _attempt(request, directory)
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


def _attempt(request: LabelRequest, directory: Path) -> Label | Failure:
    reference = build_reference(request.reference)
    reference.check(request.structure)
    attempt = _new_attempt(directory)
    reference.prepare(request.structure, attempt)
    failure = _execute(reference, attempt, request.timeout_s)
    if failure is not None:
        return replace(failure, directory=str(attempt))
    outcome = reference.parse(request.structure, attempt)
    if isinstance(outcome, Label):
        return outcome
    return replace(outcome, directory=str(attempt), traceback=log_tail(attempt / _LOG))


def _new_attempt(directory: Path) -> Path:
    """A new folder per attempt: what an interrupted one left can neither be read nor disturb."""
    directory.mkdir(parents=True, exist_ok=True)
    used = [int(path.name.split("-")[1]) for path in directory.glob("attempt-[0-9][0-9]")]
    attempt = directory / f"attempt-{max(used, default=0) + 1:02d}"
    attempt.mkdir()
    return attempt.resolve()


def _execute(reference: Reference, attempt: Path, timeout_s: float) -> Failure | None:
    log = attempt / _LOG
    if isinstance(reference, InProcess) and not reference.isolated:
        return _run_here(reference, attempt, log)
    ended = run_command(reference.command(attempt), attempt, timeout_s=timeout_s, log=log)
    if ended.exit_code is None:
        message = f"killed after {ended.seconds:.0f} s, the limit of {timeout_s:g} s"
        return failed(FailureCause.TIMED_OUT, message, traceback=log_tail(log))
    return _crash(ended, log) if ended.exit_code else None


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
    message = _one_line(f"{ended.how}: {last}")
    return failed(FailureCause.CRASHED, message, traceback=tail)


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

"""How the command line ends: exit codes, and one line on stderr when something is wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from typer import Abort
from typer.exceptions import TyperException

from bnnflow.errors import BnnflowError, UserError

DONE = 0
INTERNAL = 1
USER = 2
AGAIN = 75
"""Time was up with work left: the same again goes on (EX_TEMPFAIL of sysexits.h)."""
INTERRUPTED = 130


def guarded(command: Callable[[], Any]) -> int:
    """Run a command line and return its exit code.

    0 done; 2 the user can put it right; 1 a calculation or bnnflow itself went wrong (the
    traceback is written to a file); 75 time was up with work left; 130 Ctrl-C. A code that the
    command returns is kept.
    """
    try:
        result = command()
    except (UserError, TyperException) as error:
        return say(_usage(error), USER)
    except (KeyboardInterrupt, Abort):
        result = INTERRUPTED
    except Exception as error:
        return _fault(error)
    if result == INTERRUPTED:  # typer, too, turns Ctrl-C into this code
        return say("interrupted; `bnnflow resume FOLDER` goes on with a run", INTERRUPTED)
    return result if isinstance(result, int) else DONE


@contextlib.contextmanager
def stdout_for_figures(as_json: bool) -> Iterator[None]:
    """Send what is said on the way to stderr when stdout is to hold one JSON object."""
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        yield


def print_json(value: Any) -> None:
    """Print one JSON object on one line; numbers that are not finite become null."""
    sys.stdout.write(json.dumps(_plain(value), allow_nan=False) + "\n")


def show(figures: Mapping[str, Any], table: Callable[[], str], as_json: bool) -> None:
    """Figures on stdout: as one JSON object, or as a table."""
    if as_json:
        print_json(figures)
    else:
        print(table())


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words as lines, each column as wide as its longest word."""
    widths = [max(len(word) for word in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{w:<{n}}" for w, n in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _usage(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    hint = f"; see `{context.command_path} --help`" if context is not None else ""
    message = error.format_message() if isinstance(error, TyperException) else str(error)
    return message.rstrip(". ") + hint


def _fault(error: Exception) -> int:
    """One line for what is not the user's to put right; pydantic's own errors still are."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return say(str(error), USER)
    with tempfile.NamedTemporaryFile(
        "w", prefix="bnnflow-error-", suffix=".txt", delete=False, encoding="utf-8"
    ) as file:
        file.write("".join(traceback.format_exception(error)))
    kind = "" if isinstance(error, BnnflowError) else f"internal error, {type(error).__name__}: "
    return say(f"{kind}{error}; traceback in {file.name}", INTERNAL)


def say(message: str, code: int) -> int:
    """Write one line on stderr; returns the exit code it is given."""
    sys.stderr.write(f"bnnflow: {' '.join(message.split())}\n")
    return code


def _plain(value: Any) -> Any:
    """JSON-able twin of records, arrays, paths and numpy numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)

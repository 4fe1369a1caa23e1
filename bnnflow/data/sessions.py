"""`sessions.jsonl`: what each session of a run had to work with, one line per start.

Costs are made from it: seconds are in run.h5, the cores of a worker are in no result.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bnnflow.data.layout import SESSIONS_FILE
from bnnflow.records import PoolSize, Session


def add_session(folder: Path, session: Session) -> None:
    """Note the start of a session."""
    with (folder / SESSIONS_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(session)) + "\n")


def read_sessions(folder: Path) -> tuple[Session, ...]:
    """The sessions of a run, oldest first; a line that a kill cut short is passed over."""
    try:
        text = (folder / SESSIONS_FILE).read_text(encoding="utf-8")
    except OSError:
        return ()
    found = (_session(line) for line in text.splitlines())
    return tuple(session for session in found if session is not None)


def _session(line: str) -> Session | None:
    try:
        values: dict[str, Any] = json.loads(line)
        pools = {name: PoolSize(**size) for name, size in values.pop("pools").items()}
        return Session(**values, pools=pools)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None

"""Whether a run is driven can be seen without getting in the way of who drives it."""

from __future__ import annotations

import fcntl
import threading
import time
from pathlib import Path

import pytest

from bnnflow.data.lock import PATIENCE_S, RunLock, is_driven
from bnnflow.errors import RunFolderError


def test_a_run_is_driven_while_its_lock_is_held(tmp_path: Path) -> None:
    assert not is_driven(tmp_path)
    lock = RunLock(tmp_path)
    assert is_driven(tmp_path) and is_driven(tmp_path)
    lock.release()
    assert not is_driven(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["run.lock"]


def test_a_look_does_not_keep_a_coordinator_out(tmp_path: Path) -> None:
    """As if someone looked at just this moment, for far longer than a look takes."""
    (tmp_path / "run.lock").touch()
    with (tmp_path / "run.lock").open() as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        threading.Timer(PATIENCE_S / 4, lambda: fcntl.flock(looker, fcntl.LOCK_UN)).start()
        RunLock(tmp_path).release()


def test_another_coordinator_is_still_refused(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    begin = time.monotonic()
    with pytest.raises(RunFolderError, match="already being driven by process"):
        RunLock(tmp_path)
    assert time.monotonic() - begin < 20 * PATIENCE_S
    lock.release()

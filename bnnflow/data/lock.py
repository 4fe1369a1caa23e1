"""One coordinator per run: a lock that dies with its process, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from bnnflow.data.layout import LOCK_FILE
from bnnflow.errors import RunFolderError

PATIENCE_S = 0.2
"""How long a lock is tried for: one that only looks whether it is held (`is_driven`) has it for
microseconds."""


def is_driven(folder: Path) -> bool:
    """Whether a coordinator drives the run in `folder` now, on a file system that has locks."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


class RunLock:
    """Hold `run.lock` until `release`, or until the process is gone.

    Raises RunFolderError when another process holds it, naming that process.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = _open(folder / LOCK_FILE)
        try:
            _take(self._descriptor)
        except OSError as error:
            holder = os.pread(self._descriptor, 256, 0).decode(errors="replace").strip()
            self.release()
            raise RunFolderError(_refusal(folder, holder, error)) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        # A forked child would share the lock and keep it after this process is killed.
        os.register_at_fork(after_in_child=self.release)

    def release(self) -> None:
        """Close this process's hold on the lock; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunFolderError(f"cannot open {path}: {error}: make its folder writable") from error


def _take(descriptor: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.01)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refusal(folder: Path, holder: str, error: OSError) -> str:
    if isinstance(error, BlockingIOError):
        who = f"process {holder}" if holder else "another process"
        return f"{folder} is already being driven by {who}: wait for it to end, or stop it"
    return f"cannot lock {folder / LOCK_FILE}: {error}: use a file system that has file locks"

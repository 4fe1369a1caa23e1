"""One coordinator per run: a lock that dies with its process, however it dies."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from bnnflow.data.layout import LOCK_FILE
from bnnflow.errors import RunFolderError


class RunLock:
    """Hold `run.lock` until `release`, or until the process is gone.

    Raises RunFolderError when another process holds it, naming that process.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = _open(folder / LOCK_FILE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


def _refusal(folder: Path, holder: str, error: OSError) -> str:
    if isinstance(error, BlockingIOError):
        who = f"process {holder}" if holder else "another process"
        return f"{folder} is already being driven by {who}: wait for it to end, or stop it"
    return f"cannot lock {folder / LOCK_FILE}: {error}: use a file system that has file locks"

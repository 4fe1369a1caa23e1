"""Workers that do not outlive the program that started them, however it ends.

The program holds a lock on a file; beside each block of workers a shell waits for that lock. The
kernel gives it up the moment the program is gone, also by SIGKILL, and the shell ends the block's
process group. Nothing polls; heartbeats remain for what is lost otherwise, e.g. the network.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import tempfile
from pathlib import Path

from bnnflow.errors import ConfigError

PROGRAMS = ("bash", "setsid", "setpriv", "flock")
"""What binds processes to this one; all of them are part of every Debian."""

# The shell must outlive the SIGTERM that it sends to its own group, but not one sent by others.
# The last lines: when a block ends by itself (its manager was killed), so do its other processes,
# a second later, after Parsl has noted the exit code.
_WATCH = """\
group=$(cut -d ' ' -f 5 /proc/self/stat)
(
    flock {lock} true
    rm -f {lock}
    trap '' TERM
    kill -TERM -- "-$group"
    sleep 3
    kill -KILL -- "-$group"
) </dev/null >/dev/null 2>&1 &
trap 'trap - EXIT; exit 143' TERM
trap '(sleep 1; kill -TERM -- "-$group") </dev/null >/dev/null 2>&1 &' EXIT
"""


def check_programs() -> None:
    """Raise ConfigError when a program of PROGRAMS is missing."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        raise ConfigError(
            f"program {', '.join(missing)} was not found, expected on PATH: install util-linux and "
            "bash, or work without pools (--inline)"
        )


class Lifeline:
    """A lock, the file `path`, held from construction to `cut`, or to the end of this process."""

    def __init__(self) -> None:
        self._descriptor, name = tempfile.mkstemp(prefix="bnnflow-lifeline-")
        self.path = Path(name)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def watch(self) -> str:
        """Shell lines that bind the process group of the shell that runs them."""
        return _WATCH.format(lock=shlex.quote(str(self.path)))

    def cut(self) -> None:
        """End every group that is bound."""
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)

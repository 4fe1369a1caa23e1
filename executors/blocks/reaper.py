"""A watcher beside the program that ends its jobs when it is gone, queued ones too.

A running job ends by itself when its workers hear nothing any more; a queued one would wait for
its turn first, perhaps for days. The watcher waits for the program's lifeline, as a block on this
machine does, and then runs the commands that the program wrote down for it.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path

_WATCH = """\
flock {lock} true
bash {commands}
rm -f {commands}
"""


class Reaper:
    """Remembers commands, and has them run once the lifeline is cut."""

    def __init__(self, lock: Path) -> None:
        """lock: held by this process while it lives."""
        with tempfile.NamedTemporaryFile("w", prefix="bnnflow-jobs-", delete=False) as file:
            self._commands = Path(file.name)
        watch = _WATCH.format(
            lock=shlex.quote(str(lock)), commands=shlex.quote(str(self._commands))
        )
        subprocess.Popen(
            ["setsid", "bash", "-c", watch],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def remember(self, command: str) -> None:
        """Have one more command run at the end."""
        with self._commands.open("a", encoding="utf-8") as file:
            file.write(command + "\n")

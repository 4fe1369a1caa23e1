"""Ends a block of workers in which an idle worker has died.

Parsl's workers wait for tasks with the lock of their queue held: one that is killed while it waits
(by the machine, out of memory) takes the lock with it, and no other worker of the block ever gets
a task again. Parsl replaces the worker and sees nothing wrong. Its manager does log the event, in
its own process, and there this handler ends the manager: the block is then lost as a whole, its
tasks fail, and it is replaced.
"""

from __future__ import annotations

import logging
import os
import signal

_EVENT = "was not busy when it died"


class EndBlockOnIdleDeath(logging.Handler):
    """Watches the log of the process it is in for the death of an idle worker."""

    def emit(self, record: logging.LogRecord) -> None:
        """Ask this process to end if this is the event."""
        if record.getMessage().endswith(_EVENT):
            os.kill(os.getpid(), signal.SIGTERM)

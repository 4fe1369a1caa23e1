"""Parsl's logs, bounded: a long run cannot fill the disk with them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

from parsl.logconfigs.base import LogConfig

from executors.idle_death import EndBlockOnIdleDeath

MOST_BYTES = 1_000_000
"""Size at which a log is renamed to NAME.log.1; the one before is dropped."""


class BoundedLogging(LogConfig):
    """One log per process of at most twice MOST_BYTES; it travels to the workers by pickle."""

    def initialize_logging(self, *, log_dir: Path, log_name: str) -> Callable[[], None]:
        """Log what Parsl does in this process to `log_dir/log_name.log`; returns the undoing."""
        log_dir.mkdir(parents=True, exist_ok=True)
        file = RotatingFileHandler(
            log_dir / f"{log_name}.log", maxBytes=MOST_BYTES, backupCount=1, encoding="utf-8"
        )
        file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        logger = logging.getLogger("parsl")
        logger.setLevel(logging.INFO)
        logger.propagate = False  # these lines belong in this file, not in the run's own log
        watch = EndBlockOnIdleDeath()
        logger.addHandler(file)
        logger.addHandler(watch)

        def undo() -> None:
            logger.removeHandler(file)
            logger.removeHandler(watch)
            logger.propagate = not logger.handlers
            file.close()

        return undo

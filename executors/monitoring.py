"""Parsl's monitoring, where a site file switches it on.

Parsl keeps its database with a process of its own, which imports the program anew: a script that
starts pools needs `if __name__ == "__main__":`. Parsl lets that process outlive a coordinator that
is killed, and end at Ctrl-C before the last message; here it does neither.
"""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from parsl.logconfigs.base import LogConfig
from parsl.monitoring import MonitoringHub

from bnnflow.errors import ConfigError
from executors.schema.monitoring import MonitoringConfig

_PR_SET_PDEATHSIG = 1


class BoundHub(MonitoringHub):
    """Parsl's hub, whose database process ends with this one."""

    def start(self, dfk_run_dir: str, config_run_dir: Any, log_config: LogConfig | None) -> None:
        """Start the database process."""
        super().start(dfk_run_dir, config_run_dir, BoundToParent(log_config))


class BoundToParent(LogConfig):
    """Logs as another config does, in a process that it binds to its parent; travels by pickle."""

    def __init__(self, inner: LogConfig | None) -> None:
        super().__init__()
        self._inner = inner

    def initialize_logging(self, *, log_dir: Path, log_name: str) -> Callable[[], None]:
        """Called in the new process, before it does anything else."""
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self._inner is None:
            return lambda: None
        undo: Callable[[], None] = self._inner.initialize_logging(
            log_dir=log_dir, log_name=log_name
        )
        return undo


def monitoring_hub(config: MonitoringConfig) -> MonitoringHub | None:
    """Parsl's monitoring as a site file asks for it; None where it is off.

    Raises ConfigError when a package that it needs is not there.
    """
    if not config.enabled:
        return None
    require_sqlalchemy()
    return BoundHub(
        workflow_name="bnnflow",
        resource_monitoring_enabled=False,
    )


def require_sqlalchemy() -> None:
    """Raise ConfigError, with the command that installs it, when SQLAlchemy is missing."""
    if find_spec("sqlalchemy") is None:
        raise ConfigError(
            "the site's monitoring.enabled needs SQLAlchemy, which is not installed: "
            "pip install 'bnnflow[monitoring]', or set monitoring.enabled=false"
        )

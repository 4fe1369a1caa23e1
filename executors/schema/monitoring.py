"""Keys of a site file that switch Parsl's own monitoring on."""

from __future__ import annotations

from pydantic import Field

from bnnflow.config.base import Section


class MonitoringConfig(Section):
    """What Parsl writes into a database about its tasks, beside what the run folders hold."""

    enabled: bool = Field(
        default=False,
        description="Parsl writes the state of every task into `parsl/monitoring.db` "
        "(SQLite) of the run folder; needs `pip install 'bnnflow[monitoring]'`",
    )

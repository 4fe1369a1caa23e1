"""Keys of a site file that switch Parsl's own monitoring on."""

from __future__ import annotations

from pydantic import Field

from bnnflow.config.base import Section


class MonitoringConfig(Section):
    """What Parsl writes into a database about its tasks, beside what the run folders hold."""

    enabled: bool = Field(
        default=False,
        description="Parsl writes the state of every task and block into `parsl/monitoring.db` "
        "(SQLite) of the run folder; needs `pip install 'bnnflow[monitoring]'`",
    )
    resources_every_s: int = Field(
        default=0,
        ge=0,
        description="how often the processor time and memory of each task are noted as well, by a "
        "process beside it; 0: never",
    )

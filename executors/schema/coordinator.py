"""The batch job in which a coordinator runs."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from bnnflow.config.base import Section
from executors.schema.values import FromEnvironment, Walltime, seconds

CLOSING_S = 60
"""Kept at the end of the job for closing the pools and for the next job's submission, s."""

WARNING_S = 600
"""How long before the end of the job it is warned, s."""


class CoordinatorConfig(Section):
    """What `bnnflow submit` asks the scheduler for: one light process for a long time."""

    kind: Literal["auto", "slurm", "pbspro", "lsf"] = Field(
        default="auto", description="the scheduler; auto: that of the pools"
    )
    account: FromEnvironment | None = Field(
        default=None, description="project that pays; default: that of pool dft, else md, gpu"
    )
    partition: FromEnvironment = Field(default="", description="--partition of Slurm")
    qos: FromEnvironment = Field(default="", description="--qos of Slurm")
    queue: FromEnvironment = Field(default="", description="-q of PBS Pro and LSF")
    walltime: Walltime = Field(
        default="24:00:00",
        description="of one job, HH:MM:SS; the next one is submitted while work is left",
    )
    warning: Walltime | None = Field(
        default=None,
        description="how long before the end Slurm warns the coordinator (--signal), HH:MM:SS; "
        "default: 10 minutes, at most half of walltime",
    )
    cores: int = Field(default=2, gt=0, description="cores on one node")
    memory_GB: int | None = Field(default=None, gt=0, description="--mem of Slurm, GB")
    modules: tuple[str, ...] = Field(default=(), description="loaded with `module load`, in order")
    init: str = Field(default="", description="shell lines run before the coordinator starts")
    scheduler_options: tuple[str, ...] = Field(
        default=(), description="more options for the head of the batch script, one per entry"
    )

    @model_validator(mode="after")
    def _time_enough(self) -> Self:
        if seconds(self.walltime) <= CLOSING_S:
            raise ValueError(
                f"has walltime {self.walltime}, expected more than {CLOSING_S} s, which are kept "
                "for the job's end"
            )
        if self.warning_s >= seconds(self.walltime):
            raise ValueError(
                f"has warning {self.warning}, expected less than walltime {self.walltime}"
            )
        return self

    @property
    def warning_s(self) -> int:
        """`warning`, or its default, s."""
        if self.warning is None:
            return min(WARNING_S, seconds(self.walltime) // 2)
        return seconds(self.warning)

    @property
    def stop_after_s(self) -> int:
        """Time that the coordinator has in one job, s."""
        return seconds(self.walltime) - CLOSING_S

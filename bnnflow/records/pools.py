"""What a session of a run had to work with: the pools and the size of a task in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class PoolSize:
    """A pool as the site file sizes it.

    workers: tasks that run at once when all of them are there; cores, accelerators: that one task
    has for itself (a share of a device that several workers hold); nodes: that it takes, 1/n where
    n workers share one.
    """

    workers: int
    cores: float
    accelerators: float = 0.0
    nodes: float = 1.0


@dataclass(frozen=True)
class Session:
    """One stretch in which a coordinator drove a run, from its start on.

    start_s: seconds since the epoch; update_tasks: tasks that an update of the ensemble is dealt
    to; pools: gpu, dft, md.
    """

    start_s: float
    site: str
    update_tasks: int
    pools: Mapping[str, PoolSize]

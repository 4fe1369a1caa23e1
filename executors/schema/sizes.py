"""Numbers where a pool says auto: from this machine, or from what the scheduler is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True)
class Machine:
    """What this machine offers, asked only where it matters."""

    cores: Callable[[], int]
    accelerators: Callable[[], tuple[str, ...]]


def sized(values: Mapping[str, Any], here: Machine, *, most_auto_workers: int) -> dict[str, Any]:
    """The keys of a pool with sizes as numbers; what is wrong in them is left for its checks.

    most_auto_workers: workers that auto gives at most, without accelerators and MPI. Where auto
    has nothing to go by it stays.
    """
    provider = _section(values, "provider")
    remote = provider.get("kind", "local") != "local"
    accelerators = _accelerators(values.get("accelerators", ()), here, remote=remote)
    cores: Any = provider.get("cores_per_node") if remote else here.cores()
    workers = values.get("workers_per_node", "auto")
    mpi = _section(values, "mpi")
    if workers == "auto":
        each = values.get("workers_per_accelerator", 1)
        by_devices = len(accelerators) * each if _counts(accelerators, each) else 0
        workers = _whole_nodes(mpi, provider) or by_devices or _packed(mpi, cores)
        if not workers:
            workers = min(cores, most_auto_workers) if _counts((), cores) else "auto"
    threads = values.get("threads_per_worker", mpi.get("threads_per_rank", 1))
    if threads == "auto" and _counts((), cores):
        threads = max(1, cores // workers) if _counts((), workers) and workers > 0 else 1
    sizes = {"workers_per_node": workers, "threads_per_worker": threads}
    return {**values, **sizes, "accelerators": accelerators}


def _whole_nodes(mpi: Mapping[str, Any], provider: Mapping[str, Any]) -> int:
    """Labels at once in a block where each has nodes of its own; 0 where it has not."""
    nodes, each = provider.get("nodes_per_block", 1), mpi.get("nodes_per_label", 1)
    if mpi.get("placement") != "nodes" or not _counts((), nodes) or not _counts((), each):
        return 0
    return int(max(1, nodes // max(1, each)))


def _packed(mpi: Mapping[str, Any], cores: Any) -> int:
    """Labels at once on a node that they share; 0 without MPI."""
    ranks, threads = mpi.get("ranks_per_node"), mpi.get("threads_per_rank", 1)
    if not all(_counts((), number) for number in (ranks, threads, cores)):
        return 0
    return int(max(1, cores // max(1, ranks * threads)))


def _accelerators(value: Any, here: Machine, *, remote: bool) -> Any:
    if value == "auto" and not remote:
        return here.accelerators()
    if isinstance(value, int) and not isinstance(value, bool):
        return tuple(str(number) for number in range(value))
    return [str(name) for name in value] if isinstance(value, (list, tuple)) else value


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Any = values.get(name)
    if isinstance(found, BaseModel):
        return found.model_dump()
    return found if isinstance(found, Mapping) else {}


def _counts(names: Any, number: Any) -> bool:
    """Whether both are of the kind that sizes are made of."""
    whole = isinstance(number, int) and not isinstance(number, bool)
    return whole and isinstance(names, (list, tuple))

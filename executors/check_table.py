"""What `bnnflow site check` found, as lines for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def site_table(figures: Mapping[str, Any]) -> str:
    """The figures of `check_site` as lines."""
    site = figures["site"]
    lines = [f"{site['name']}: {site['description']}", f"code in {figures['code']}"]
    lines += [_pool_line(name, pool) for name, pool in site["pools"].items()]
    lines += [f"note: {note}" for note in figures.get("notes", [])]
    lines += [_probe_line(name, found) for name, found in figures.get("probes", {}).items()]
    lines += [f"PROBLEM: {problem}" for problem in figures.get("problems", [])]
    if "probes" not in figures:
        for name, script in figures.get("scripts", {}).items():
            lines += ["", f"---- pool {name} would submit", script.rstrip()]
    return "\n".join(lines)


def _pool_line(name: str, pool: Mapping[str, Any]) -> str:
    accelerators = ", ".join(pool["accelerators"]) or "none"
    chains = f", chains per task {pool['chains_per_task']}" if "chains_per_task" in pool else ""
    return (
        f"{name:<4} {_provider(pool['provider'])}: {pool['workers_per_node']} workers of "
        f"{pool['threads_per_worker']} threads, accelerators {accelerators}{chains}"
        f"{_mpi(pool.get('mpi'))}"
    )


def _provider(keys: Mapping[str, Any]) -> str:
    if keys["kind"] == "local":
        return "local"
    place = keys.get("partition") or keys.get("queue") or "default queue"
    return (
        f"{keys['kind']} ({place}), blocks of {keys['nodes_per_block']} nodes for "
        f"{keys['walltime']}, {keys['min_blocks']} to {keys['max_blocks']} of them"
    )


def _mpi(keys: Mapping[str, Any] | None) -> str:
    if not keys:
        return ""
    where = f"{keys['nodes_per_label']} nodes each" if keys["placement"] == "nodes" else "packed"
    return f", labels of {keys['ranks_per_node']} ranks per node, {where}, by {keys['launcher']}"


def _probe_line(name: str, found: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{key} {value}" for key, value in found["packages"].items())
    return (
        f"{name:<4} answers from {found['host']} after {found['first_result_s']} s: "
        f"{found['cores']} cores, {found['threads']} threads, Python {found['python']}, "
        f"{packages}{_node(found)}"
    )


def _node(found: Mapping[str, Any]) -> str:
    """What was asked beyond the first probe."""
    parts = []
    if "shared_folder" in found:
        parts.append(f"run folder {'shared' if found['shared_folder'] else 'NOT shared'}")
    if "clock_offset_s" in found:
        parts.append(f"clock {found['clock_offset_s']:+.3f} s")
    if "devices" in found:
        pinned = found["accelerator"] or "none"
        parts.append(f"pinned to {pinned}, sees {', '.join(found['devices']) or 'no GPU'}")
    if "mpi" in found:
        mpi = found["mpi"]
        parts.append(f"{mpi['ranks']} MPI ranks on {', '.join(mpi['nodes']) or 'no node'}")
    return "".join(f", {part}" for part in parts)

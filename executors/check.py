"""`bnnflow site check NAME`: is the site config right, and do its pools work?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bnnflow.errors import ConfigError
from executors.base import Pool
from executors.pools import ParslExecutor
from executors.probe import Probe, probe
from executors.provenance import check_one_place
from executors.site import SiteConfig, load_site

PACKAGES = ("bnnflow", "parsl", "torch", "mace-torch", "ase", "numpy", "pyscf", "tblite")
PATIENCE_S = 300.0
"""Longest wait for the first result of a pool, a queue's waiting time included."""


def check_site(name_or_path: str | Path, *, run: bool = False) -> dict[str, Any]:
    """The site's settings with every size as a number; with `run`, what each pool reports.

    run: start the pools and send one probe to each. Raises ConfigError when the config is wrong,
    TimeoutError when a pool does not answer, FaultError when its workers do not start.
    """
    site = load_site(name_or_path)
    figures: dict[str, Any] = {"site": site.model_dump(mode="json"), "code": str(check_one_place())}
    return figures | ({"probes": _probes(site)} if run else {})


def site_table(figures: Mapping[str, Any]) -> str:
    """The figures of `check_site` as lines for people."""
    site = figures["site"]
    lines = [f"{site['name']}: {site['description']}", f"code in {figures['code']}"]
    lines += [_pool_line(name, pool) for name, pool in site["pools"].items()]
    lines += [_probe_line(name, found) for name, found in figures.get("probes", {}).items()]
    return "\n".join(lines)


def _probes(site: SiteConfig) -> dict[str, dict[str, Any]]:
    started = time.perf_counter()
    with ParslExecutor(site) as executor:
        asked = {pool: executor.submit(pool, probe, PACKAGES) for pool in Pool}
        answers = {}
        for pool, future in asked.items():
            answer = future.result(PATIENCE_S)
            seconds = time.perf_counter() - started
            answers[pool.value] = asdict(answer) | {"first_result_s": round(seconds, 2)}
            _check_versions(pool, answer)
    return answers


def _check_versions(pool: Pool, answer: Probe) -> None:
    """Workers run the same versions as this process."""
    here = probe(PACKAGES)
    for name, version in here.packages.items():
        if answer.packages[name] != version:
            raise ConfigError(
                f"pool {pool} has {name} {answer.packages[name]}, expected {version} as here: "
                "install the same versions there, or correct worker_init"
            )


def _pool_line(name: str, pool: Mapping[str, Any]) -> str:
    accelerators = ", ".join(pool["accelerators"]) or "none"
    chains = f", chains per task {pool['chains_per_task']}" if "chains_per_task" in pool else ""
    return (
        f"{name:<4} {pool['provider']['kind']}: {pool['workers_per_node']} workers of "
        f"{pool['threads_per_worker']} threads, accelerators {accelerators}{chains}"
    )


def _probe_line(name: str, found: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{key} {value}" for key, value in found["packages"].items())
    return (
        f"{name:<4} answers from {found['host']} after {found['first_result_s']} s: "
        f"{found['cores']} cores, {found['threads']} threads, Python {found['python']}, {packages}"
    )

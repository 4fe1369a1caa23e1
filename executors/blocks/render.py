"""The batch script that a pool would submit, written by the very code that submits it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from bnnflow.errors import ConfigError
from executors.blocks.addresses import site_address
from executors.blocks.scheduler import SchedulerBlocks
from executors.parsl_config import parsl_config
from executors.site import SiteConfig

PORT = 54321
"""Stands for the port that is only known once the pools run."""


class _WrittenError(Exception):
    """The script is there; what would come next is its submission."""


def batch_scripts(site: SiteConfig, run_dir: Path) -> dict[str, str]:
    """The script of each pool that a scheduler starts, by the pool's name; nothing is submitted.

    run_dir: the run folder that its paths are to name; nothing is written there. An interface
    stands by its name where this machine has none of that name.
    """
    config = parsl_config(_addressed(site), run_dir=run_dir, watch="", answered=lambda _: 0)
    return {
        executor.label: _script(executor, run_dir)
        for executor in config.executors
        if isinstance(executor.provider, SchedulerBlocks)
    }


def _script(executor: Any, run_dir: Path) -> str:
    executor.run_dir = str(run_dir)
    executor.worker_port = PORT
    executor.cert_dir = f"{executor.logdir}/certificates" if executor.encrypted else None
    executor.logconf_path = f"{executor.logdir}/log_config/log_config.pkl"
    executor.initialize_scaling()
    provider = executor.provider
    write = provider._write_submit_script

    def write_and_stop(template: str, path: str, name: str, values: Any) -> None:
        write(template, path, name, values)
        raise _WrittenError(Path(path).read_text(encoding="utf-8"))

    provider._write_submit_script = write_and_stop
    with tempfile.TemporaryDirectory() as folder:
        provider.script_dir = folder
        try:
            provider.submit(executor._get_launch_command("0"), 1, f"parsl.{executor.label}.block-0")
        except _WrittenError as written:
            return str(written).replace(folder, f"{run_dir}/submit_scripts")
    raise ConfigError(f"pool {executor.label} gives no batch script: report this")


def _addressed(site: SiteConfig) -> SiteConfig:
    try:
        site_address(site)
    except ConfigError:
        address = f"ADDRESS_OF_{site.interface}"
        return site.model_copy(update={"interface": "", "address": address})
    return site

"""A task that says where it runs, to check a site."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import bnnflow
from executors.machine import usable_cores


@dataclass(frozen=True)
class Probe:
    """What one worker reports. threads: OMP_NUM_THREADS; accelerator: CUDA_VISIBLE_DEVICES."""

    host: str
    process: int
    cores: int
    threads: str
    accelerator: str
    python: str
    packages: dict[str, str]
    bnnflow_folder: str


def probe(packages: tuple[str, ...]) -> Probe:
    """Report host, cores, threads, accelerator, Python and the versions of `packages`."""
    return Probe(
        host=platform.node(),
        process=os.getpid(),
        cores=usable_cores(),
        threads=os.environ.get("OMP_NUM_THREADS", ""),
        accelerator=os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        python=platform.python_version(),
        packages={name: _version(name) for name in packages},
        bnnflow_folder=str(Path(bnnflow.__file__).parent),
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"

"""Workers inside a container image."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bnnflow.config.base import Section


class ContainerConfig(Section):
    """The image in which the workers of a pool run; it holds bnnflow and the same Parsl."""

    image: str = Field(description="path of the image (.sif), on the shared file system")
    runtime: Literal["apptainer", "singularity"] = Field(
        default="apptainer", description="the command that starts it"
    )
    options: str = Field(
        default="", description="words after `exec`, e.g. --nv for GPUs, --bind /scratch"
    )
    python: str = Field(default="python3", description="Python inside the image")

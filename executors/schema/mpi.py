"""How the ranks of a reference code are started from a worker of the dft pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from bnnflow.config.base import Section

_PACKED: Mapping[str, str] = {
    "srun": "srun --exact --nodes=1 --nodelist=$SLURMD_NODENAME --ntasks={ranks} "
    "--cpus-per-task={threads}",
    "mpirun": "mpirun -np {ranks}",
    "mpiexec": "mpiexec -n {ranks}",
    "jsrun": "jsrun --nrs={ranks} --tasks_per_rs=1 --cpu_per_rs={threads}",
    "flux": "flux run --nodes=1 --ntasks={ranks} --cores-per-task={threads}",
}
"""Several labels on one node, each started by its worker there."""

_NODES: Mapping[str, str] = {
    "srun": "$PARSL_MPI_PREFIX --cpus-per-task={threads}",
    "mpiexec": "$PARSL_MPI_PREFIX",
    "aprun": "$PARSL_MPI_PREFIX",
    "mpirun": "mpirun --host $PARSL_MPI_NODELIST --map-by ppr:{ranks_per_node}:node:PE={threads} "
    "-np {ranks}",
}
"""Whole nodes per label: Parsl hands the nodes out, and knows srun, aprun and MPICH's mpiexec."""


class MpiConfig(Section):
    """MPI codes in the dft pool: where the ranks of one label go, and what starts them."""

    placement: Literal["nodes", "pack"] = Field(
        description="nodes: whole nodes per label (slurm, pbspro); pack: several labels per node"
    )
    launcher: str = Field(
        description="srun, mpirun (Open MPI), mpiexec (MPICH, Intel MPI, PALS), aprun, jsrun, "
        "flux; or complete words, in which {ranks}, {ranks_per_node}, {nodes}, {threads} are "
        "filled in and $VARIABLES expanded by the worker"
    )
    ranks_per_node: int = Field(gt=0, description="MPI ranks of one label on each of its nodes")
    nodes_per_label: int = Field(default=1, gt=0, description="nodes of one label")
    threads_per_rank: int = Field(default=1, gt=0, description="OMP_NUM_THREADS of each rank")
    gpus_per_node: int = Field(default=0, ge=0, description="GPUs of one label on each node")
    options: str = Field(default="", description="words added to the launcher's command")

    @property
    def ranks(self) -> int:
        """Ranks of one label."""
        return self.nodes_per_label * self.ranks_per_node

    def prefix(self) -> str:
        """The words before a code's command, as BNNFLOW_LAUNCHER holds them."""
        words = self._known().get(self.launcher, self.launcher)
        numbers = {
            "ranks": self.ranks,
            "ranks_per_node": self.ranks_per_node,
            "nodes": self.nodes_per_label,
            "threads": self.threads_per_rank,
        }
        gpus = self.gpus_per_node if self.launcher == "srun" else 0
        extra = [f"--gpus-per-node={gpus}"] if gpus else []
        return " ".join([words.format(**numbers), *extra, self.options]).strip()

    def fault(self) -> str | None:
        """What is wrong with the launcher, in the words of a message."""
        known = self._known()
        if self.launcher in known or " " in self.launcher:
            return None
        return (
            f"has launcher {self.launcher!r} with placement {self.placement}, expected one of "
            f"{', '.join(known)}, or complete words"
        )

    def _known(self) -> Mapping[str, str]:
        return _NODES if self.placement == "nodes" else _PACKED

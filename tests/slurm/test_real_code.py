"""A label by a real MPI code on two ranks: Quantum ESPRESSO through the dft pool.

The C program of test_placement.py says where ranks go; this one that a code gets them, its label's
numbers included.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from codes import MESH, MPIRUN, good, printed_by_espresso, silicon, text_of
from conftest import site_values
from slurm_nodes import QUICK
from test_placement import LOCAL_MPIRUN, OPEN_MPI

from bnnflow.records import Handling, Label, LabelRequest
from bnnflow.tasks import label
from executors.base import Pool
from executors.pools import ParslExecutor
from executors.site import parse_site

pytestmark = [
    pytest.mark.usefixtures("empty_queue"),
    pytest.mark.skipif(shutil.which("pw.x") is None, reason="no pw.x: run .ci/install-codes"),
]

ANSWER_S = 240
SPEC: dict[str, Any] = {
    "engine": "espresso",
    "ecutwfc_eV": 220.0,
    "pseudopotentials": {"Si": "Si.pbe-rrkj.UPF"},
    **MESH,
}
PLACES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "whole node, srun": (
        {"placement": "nodes", "launcher": "srun", "ranks_per_node": 2},
        {"exclusive": True, "nodes_per_block": 2},
        OPEN_MPI,
    ),
    "two nodes, srun": (
        {"placement": "nodes", "launcher": "srun", "nodes_per_label": 2, "ranks_per_node": 1},
        {"exclusive": True, "nodes_per_block": 2},
        OPEN_MPI,
    ),
    "packed, srun --exact": (
        {"placement": "pack", "launcher": "srun", "ranks_per_node": 2},
        {"cores_per_node": 4},
        OPEN_MPI,
    ),
    "packed, mpirun": (
        {"placement": "pack", "launcher": "mpirun", "ranks_per_node": 2},
        {"cores_per_node": 4},
        LOCAL_MPIRUN,
    ),
}
"""How the two ranks are placed: mpi, more of the provider, worker_init."""


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Label:
    """The label made here by `mpirun -np 2`, without any pool."""
    folder = tmp_path_factory.mktemp("direct") / "0000"
    handling = Handling(timeout_s=ANSWER_S, launcher=MPIRUN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMPI_MCA_oob_tcp_if_include", "lo")
        return good(label(LabelRequest(SPEC, silicon(), str(folder), handling)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("place", PLACES)
def test_two_ranks_of_a_pool_give_the_label_of_mpirun(
    place: str, direct: Label, tmp_path: Path
) -> None:
    mpi, provider, init = PLACES[place]
    dft = {
        "mpi": mpi,
        "provider": {**QUICK, "partition": "cpu", **provider},
        "worker_init": init,
    }
    request = LabelRequest(
        SPEC, silicon(), str(tmp_path / "labels" / "0000"), Handling(timeout_s=ANSWER_S)
    )
    with ParslExecutor(parse_site(site_values(dft=dft)), tmp_path) as executor:
        found = good(executor.submit(Pool.DFT, label, request).result(ANSWER_S))
    for each in (direct, found):
        assert ranks(each) == 2
        energy, forces = printed_by_espresso(Path(each.directory))
        assert each.energy == pytest.approx(energy, abs=2e-7)
        np.testing.assert_allclose(each.forces, forces, atol=1e-6)
    assert found.energy == pytest.approx(direct.energy, abs=1e-6)
    np.testing.assert_allclose(found.forces, direct.forces, atol=2e-5)
    assert np.abs(direct.forces).max() > 0.3


def ranks(found: Label) -> int:
    """MPI ranks that pw.x counted."""
    text = text_of(Path(found.directory))
    (count,) = re.findall(r"Parallel version \(MPI.*\), running on +(\d+) processors", text)
    return int(count)

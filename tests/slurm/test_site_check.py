"""`bnnflow site check --run` on a real Slurm: all three pools answer, and say the truth."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import yaml
from conftest import jobs, site_values

from executors.check import check_site, site_table

NUMBERS = re.compile(r"block-\d+\.[\d.]+|--port=\d+|--block_id=\d+")


@pytest.mark.usefixtures("empty_queue")
def test_all_pools_answer_from_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pool has a Python of its own; and all this may itself happen inside a job."""
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "7")
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "99999")
    values = site_values()
    values["pools"]["md"]["environment"] = sys.prefix
    site = tmp_path / "site.yaml"
    site.write_text(yaml.safe_dump(values))
    figures = check_site(site, run=True, folder=tmp_path, wait_s=120)
    probes = figures["probes"]
    assert {name: found["shared_folder"] for name, found in probes.items()} == {
        "gpu": True,
        "dft": True,
        "md": True,
    }
    assert all(abs(found["clock_offset_s"]) < 1.0 for found in probes.values())
    mpi = probes["dft"]["mpi"]
    assert (mpi["ranks"], len(mpi["nodes"])) == (2, 1) and mpi["nodes"][0] in ("n1", "n2")
    assert probes["gpu"]["accelerator"] in ("0", "1")
    # the emulated GPUs are none for torch, and that is said
    assert [problem.split(":")[0] for problem in figures["problems"]] == ["pool gpu"]
    assert "2 MPI ranks on n" in site_table(figures)
    assert jobs() == {}
    _assert_rendered(figures["scripts"], tmp_path)


def _assert_rendered(scripts: dict[str, str], folder: Path) -> None:
    """What was shown beforehand is what was submitted, but for times, ports and Parsl's folder."""
    for pool, shown in scripts.items():
        (submitted, *_) = [
            path
            for path in sorted(folder.glob(f"parsl/000/submit_scripts/bnnflow.{pool}.block-0.*"))
            if path.suffix not in (".stdout", ".stderr")
        ]
        text = submitted.read_text().replace(f"{folder}/parsl/000", f"{folder}/parsl")
        assert NUMBERS.sub("", text) == NUMBERS.sub("", shown)

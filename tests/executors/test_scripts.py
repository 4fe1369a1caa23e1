"""The batch scripts that pools would submit: Parsl's own templates with the site's keys in them."""

import os
import subprocess
from pathlib import Path

import pytest

from executors.blocks.render import batch_scripts
from executors.site import parse_site

RUN = Path("/scratch/run/parsl")
SCHEDULERS = {
    "slurm": {"kind": "slurm", "partition": "main", "cores_per_node": 16},
    "pbspro": {"kind": "pbspro", "queue": "main", "cores_per_node": 16},
    "lsf": {"kind": "lsf", "queue": "main", "cores_per_node": 16},
    "flux": {"kind": "flux", "queue": "main", "cores_per_node": 16},
}


def script(kind, pool="dft", site=None, more=None, **provider):
    keys = {"provider": {**SCHEDULERS[kind], **provider}, "workers_per_node": 2, **(more or {})}
    values = {"name": "x", "address": "10.1.2.3", "pools": {pool: keys}, **(site or {})}
    return batch_scripts(parse_site(values), RUN)[pool]


def lines(text):
    return [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_every_script_is_valid_shell_and_starts_the_workers(kind):
    text = script(kind, nodes_per_block=2)
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    command = next(line for line in lines(text) if "process_worker_pool" in line)
    for word in ("-P -m parsl", "--max_workers_per_node=2", "-a 10.1.2.3", "--block_id=0"):
        assert word in command
    assert f"--cert_dir {RUN}/dft/certificates" in command  # encrypted, on the shared file system
    assert "--hb_threshold=20" in command and "--drain_period=2640" in command
    assert "export OMP_NUM_THREADS=1" in lines(text)


def test_slurm():
    text = script(
        "slurm",
        account="m1",
        qos="debug",
        constraint="a100",
        walltime="02:30:00",
        nodes_per_block=4,
        memory_GB_per_node=64,
        gpus_per_node=4,
        scheduler_options=["--reservation=r"],
        exclusive=False,
    )
    found = {line.removeprefix("#SBATCH ") for line in lines(text) if line.startswith("#SBATCH")}
    assert found >= {
        "--nodes=4",
        "--time=150",
        "--account=m1",
        "--partition=main",
        "--qos=debug",
        "--constraint=a100",
        "--mem=64g",
        "--gpus-per-node=4",
        "--cpus-per-task=16",
        "--reservation=r",
        "--no-requeue",
    }
    assert "--exclusive" not in found
    start = next(line for line in lines(text) if line.startswith("srun"))
    assert "--ntasks 4" in start and "--overlap" in start and "--ntasks-per-node=1" in start


def test_pbspro():
    text = script(
        "pbspro",
        account="p1",
        nodes_per_block=2,
        select_options="ngpus=4:system=polaris",
        launcher_bind="--cpu-bind",
        launcher_options="--ppn 1",
        scheduler_options=["-l filesystems=home"],
    )
    assert "#PBS -l select=2:ncpus=16:ngpus=4:system=polaris" in lines(text)
    assert {"#PBS -q main", "#PBS -A p1", "#PBS -l walltime=01:00:00"} <= set(lines(text))
    assert "#PBS -l filesystems=home" in lines(text)
    assert any(line.startswith("mpiexec --cpu-bind none --ppn 1 -n") for line in lines(text))


def test_lsf():
    text = script("lsf", account="p1", nodes_per_block=2)
    assert {"#BSUB -P p1", "#BSUB -q main", "#BSUB -nnodes 2", "#BSUB -W 60"} <= set(lines(text))
    by_cores = script("lsf", nodes_per_block=2, by_nodes=False)
    assert {"#BSUB -n 32", '#BSUB -R "span[ptile=16]"'} <= set(lines(by_cores))


def test_flux_has_all_directives_at_its_head():
    text = script("flux", account="bank", nodes_per_block=2, walltime="00:30:00")
    head = lines(text)[1 : lines(text).index("")]
    assert all(line.startswith("# flux: ") for line in head)
    found = {line.removeprefix("# flux: ") for line in head}
    sizes = {"--nodes=2", "--exclusive", "--time-limit=30m"}
    assert found >= sizes | {"--bank=bank", "--queue=main"}
    slots = script("flux", exclusive=False, gpus_per_node=1)
    assert "# flux: --cores-per-slot=16" in lines(slots)
    assert "# flux: --gpus-per-slot=1" in lines(slots)


def test_modules_come_first_then_the_sites_own_lines():
    text = script("slurm", more={"modules": ["qe/7.2", "cuda"], "worker_init": "export A=1"})
    found = lines(text)
    order = ["module load qe/7.2", "module load cuda", "export A=1", "export OMP_NUM_THREADS=1"]
    assert [found.index(line) for line in order] == sorted(found.index(line) for line in order)


def test_workers_with_a_python_of_their_own():
    text = script("slurm", more={"environment": "/opt/venv"})
    assert "export PATH=/opt/venv/bin:$PATH" in lines(text)
    assert "/opt/venv/bin/python -P -m parsl" in text
    assert "site-packages" not in text


def test_workers_in_a_container():
    box = {"image": "/images/b.sif", "options": "--nv --bind /scratch", "python": "python3.11"}
    text = script("slurm", more={"container": box})
    assert f"apptainer exec --bind {RUN} --nv --bind /scratch /images/b.sif python3.11 -P" in text
    assert "PYTHONPATH" not in text


def test_labels_get_their_launcher():
    mpi = {"placement": "pack", "launcher": "srun", "ranks_per_node": 4}
    text = script("slurm", more={"mpi": mpi})
    (line,) = [line for line in lines(text) if line.startswith("export BNNFLOW_LAUNCHER")]
    shell = f"{line}; SLURMD_NODENAME=wrong; echo $BNNFLOW_LAUNCHER"
    said = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert (
        said == "srun --exact --nodes=1 --nodelist=$SLURMD_NODENAME --ntasks=4 --cpus-per-task=1\n"
    )


def test_whole_nodes_are_parsls_to_hand_out():
    mpi = {"placement": "nodes", "launcher": "srun", "ranks_per_node": 16, "nodes_per_label": 2}
    text = script("slurm", more={"mpi": mpi}, nodes_per_block=4)
    command = next(line for line in lines(text) if "process_worker_pool" in line)
    assert "--enable_mpi_mode" in command and "--mpi-launcher=srun" in command
    assert "--max_workers_per_node=2" in command and "certificates" in command
    assert not any(line.startswith("srun") for line in lines(text))


def test_gpus_are_named_for_the_workers():
    text = script("slurm", "gpu", more={"accelerators": 4, "workers_per_node": 4})
    assert "--available-accelerators 0 1 2 3" in text
    amd = {"accelerators": 4, "workers_per_node": 4, "accelerator_kind": "amd"}
    assert "export BNNFLOW_ACCELERATOR_KIND=amd" in lines(script("slurm", "gpu", more=amd))


def test_unencrypted_has_no_certificates():
    assert "--cert_dir None" in script("slurm", site={"encrypted": False})


def test_an_interface_of_another_machine_stands_by_its_name():
    text = script("slurm", site={"address": "auto", "interface": "hsn0"})
    assert "-a ADDRESS_OF_hsn0" in text


def test_the_loopback_interface_is_found():
    assert "-a 127.0.0.1 " in script("slurm", site={"address": "auto", "interface": "lo"})


def test_an_account_from_the_environment(monkeypatch):
    monkeypatch.delenv("PROJECT_X", raising=False)
    assert "#SBATCH --account=$PROJECT_X" in script("slurm", account="$PROJECT_X")
    monkeypatch.setenv("PROJECT_X", "m42")
    assert "#SBATCH --account=m42" in script("slurm", account="$PROJECT_X")


def test_nothing_is_submitted_or_written(tmp_path, monkeypatch):
    """A scheduler's commands on PATH would leave a mark here."""
    mark = tmp_path / "mark"
    for name in ("sbatch", "squeue", "sacct", "qsub", "bsub", "flux"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ntouch {mark}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for kind in SCHEDULERS:
        script(kind)
    assert not mark.exists() and not RUN.exists()

"""The keys of scheduler sites: sizes, what cannot work is refused, and the page about them."""

import re
from pathlib import Path

import pytest

from bnnflow.config.yaml_values import parse_yaml
from bnnflow.errors import ConfigError
from executors.schema.page import page
from executors.schema.values import as_walltime, seconds
from executors.site import parse_site

DOCS = Path(__file__).parents[2] / "docs" / "sites.md"
SLURM = {"kind": "slurm", "cores_per_node": 16}


def pool(name="dft", **keys):
    return getattr(parse_site({"name": "x", "pools": {name: keys}}).pools, name)


def refused(name="dft", **keys):
    with pytest.raises(ConfigError) as caught:
        pool(name, **keys)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_walltimes():
    assert seconds("24:00:01") == 86401
    assert as_walltime(86401) == "24:00:01"
    assert "hours:minutes:seconds" in refused(provider={**SLURM, "walltime": 60})
    assert "hours:minutes:seconds" in refused(provider={**SLURM, "walltime": "1:75:00"})


def test_sizes_come_from_the_schedulers_keys():
    assert pool(provider=SLURM).workers_per_node == 8
    assert pool(provider=SLURM, threads_per_worker="auto").threads_per_worker == 2
    assert "workers_per_node is auto" in refused(provider={"kind": "slurm"})
    assert "how many a node has" in refused("gpu", provider=SLURM, accelerators="auto")


def test_a_typo_is_named_with_the_size_that_it_hides():
    text = refused(provider={"kind": "slurm", "core_per_node": 4})
    assert "did you mean pools.dft.provider.cores_per_node?" in text


@pytest.mark.parametrize(
    ("kind", "wrong", "meant"),
    [
        ({"kind": "slurm"}, "partion", "partition"),
        ({"kind": "pbspro", "cores_per_node": 1}, "select_option", "select_options"),
        ({"kind": "lsf"}, "que", "queue"),
        ({"kind": "flux"}, "exclusiv", "exclusive"),
    ],
)
def test_unknown_keys_of_a_provider_name_the_nearest(kind, wrong, meant):
    text = refused(workers_per_node=1, provider={**kind, wrong: "x"})
    assert f"pools.dft.provider.{wrong} is not a known key" in text
    assert f"did you mean pools.dft.provider.{meant}?" in text


def test_a_provider_without_a_kind():
    assert "pools.dft.provider.kind is missing" in refused(provider={"partition": "x"})


def test_chains_are_dealt_to_all_gpus_of_all_nodes():
    keys = {"accelerators": 4, "provider": {**SLURM, "nodes_per_block": 2}}
    gpu = pool("gpu", **keys)
    assert gpu.accelerators == ("0", "1", "2", "3")
    assert (gpu.workers_per_node, gpu.total_workers) == (4, 8)
    assert [gpu.chains(n) for n in (8, 16, 20, 3)] == [1, 2, 3, 1]
    shared = pool("gpu", workers_per_accelerator=2, **keys)
    assert (shared.workers_per_node, shared.chains(16)) == (8, 1)
    assert shared.worker_accelerators == tuple("01234567")  # Parsl deals them to nvidia-smi's four


def test_amd_devices_are_named_once_per_worker():
    keys = {"accelerators": 2, "accelerator_kind": "amd", "workers_per_accelerator": 2}
    assert pool("gpu", provider=SLURM, **keys).worker_accelerators == ("0", "0", "1", "1")


def test_whole_nodes_per_label():
    mpi = {"placement": "nodes", "launcher": "srun", "nodes_per_label": 2, "ranks_per_node": 16}
    dft = pool(mpi=mpi, provider={**SLURM, "nodes_per_block": 5, "max_blocks": 3})
    assert (dft.workers_per_node, dft.total_workers, dft.whole_nodes) == (2, 6, True)
    assert dft.mpi.prefix() == "$PARSL_MPI_PREFIX --cpus-per-task=1"
    assert "expected at most provider.nodes_per_block (1)" in refused(mpi=mpi, provider=SLURM)
    assert "expected slurm or pbspro" in refused(mpi=mpi)
    whole = {**SLURM, "nodes_per_block": 2}
    assert "give mpi.gpus_per_node" in refused(mpi=mpi, accelerators=4, provider=whole)
    too_many = {**mpi, "threads_per_rank": 2}
    assert "provider.cores_per_node (16)" in refused(
        mpi=too_many, provider={**SLURM, "nodes_per_block": 2}
    )


def test_several_labels_per_node():
    mpi = {"placement": "pack", "launcher": "srun", "ranks_per_node": 4, "threads_per_rank": 2}
    dft = pool(mpi=mpi, provider=SLURM)
    assert (dft.workers_per_node, dft.threads_per_worker, dft.whole_nodes) == (2, 2, False)
    assert dft.mpi.prefix() == (
        "srun --exact --nodes=1 --nodelist=$SLURMD_NODENAME --ntasks=4 --cpus-per-task=2"
    )
    assert "placement nodes" in refused(mpi={**mpi, "nodes_per_label": 2}, provider=SLURM)


def test_gpus_for_labels():
    mpi = {"placement": "pack", "launcher": "srun", "ranks_per_node": 2, "gpus_per_node": 2}
    dft = pool(mpi=mpi, accelerators=["0,1", "2,3"], provider=SLURM)
    assert (dft.workers_per_node, dft.worker_accelerators) == (2, ("0,1", "2,3"))
    assert dft.mpi.prefix().endswith("--cpus-per-task=1 --gpus-per-node=2")


def test_a_launcher_of_ones_own():
    words = "mpirun --host $HOSTS -np {ranks} --map-by ppr:{ranks_per_node}:node"
    mpi = {"placement": "pack", "launcher": words, "ranks_per_node": 3, "options": "-q"}
    prefix = pool(mpi=mpi, workers_per_node=1).mpi.prefix()
    assert prefix == "mpirun --host $HOSTS -np 3 --map-by ppr:3:node -q"
    assert "expected one of srun" in refused(mpi={**mpi, "launcher": "prterun"})


def test_only_the_dft_pool_runs_mpi_codes():
    mpi = {"placement": "pack", "launcher": "mpirun", "ranks_per_node": 2}
    assert "pools.md.mpi is not a known key" in refused("md", mpi=mpi)


def test_no_task_is_started_that_a_block_cannot_finish():
    provider = pool(provider={**SLURM, "walltime": "01:00:00"}).provider
    assert (provider.longest_task_s, provider.drain_s) == (900, 2640)
    keys = {**SLURM, "walltime": "01:00:00", "longest_task": "00:59:30"}
    assert "no task would ever be started" in refused(provider=keys)


@pytest.mark.parametrize(
    ("kind", "nodes", "launcher"),
    [("slurm", 1, "single"), ("slurm", 2, "srun"), ("pbspro", 2, "mpiexec"), ("lsf", 2, "jsrun")],
)
def test_workers_are_started_by_the_schedulers_launcher(kind, nodes, launcher):
    provider = {"kind": kind, "cores_per_node": 1, "nodes_per_block": nodes}
    assert pool(provider=provider).provider.worker_launcher == launcher


def test_one_python():
    text = refused(environment="/opt/venv", container={"image": "x.sif"})
    assert "has environment and container" in text


def test_one_address():
    with pytest.raises(ConfigError, match="expected one of them"):
        parse_site({"name": "x", "address": "10.0.0.1", "interface": "ib0"})


def test_the_page_is_up_to_date_and_its_examples_load():
    assert DOCS.read_text(encoding="utf-8") == page(), "run: python -m executors.schema.page"
    first, second = re.findall(r"```yaml\n(.*?)```", page(), flags=re.DOTALL)
    site = parse_site({"name": "example", **parse_yaml(first, "example")})
    assert site.pools.gpu.chains(8) == 1
    assert site.pools.dft.total_workers == 4
    assert parse_yaml(second, "example")["extends"] == "perlmutter"

"""What workers find when they start: threads, modules, a kernel that is not Parsl's global one."""

import os

from parsl.dataflow.dflow import DataFlowKernelLoader

from executors.base import Pool
from executors.blocks.start import THREAD_VARIABLES, block_start
from executors.parsl_config import parsl_config
from executors.pool_config import PoolConfig
from executors.probe import probe
from executors.provenance import check_one_place
from executors.site import load_site


def test_workers_have_the_threads_of_the_site(pools):
    for name in THREAD_VARIABLES:
        assert pools.submit(Pool.GPU, os.getenv, name).result(60) == str(
            load_site("local").pools.gpu.threads_per_worker
        )


def test_workers_import_the_same_bnnflow(pools):
    place = pools.submit(Pool.DFT, probe, ("numpy", "no-such-package")).result(60)
    assert place.bnnflow_folder == str(check_one_place() / "bnnflow")
    assert place.packages["no-such-package"] == "not installed"
    assert place.process != os.getpid()


def test_each_pool_has_its_own_workers(pools):
    asked = [pools.submit(pool, probe, ()) for pool in Pool for _ in range(4)]
    processes = {pool: set() for pool in Pool}
    for pool, future in zip([pool for pool in Pool for _ in range(4)], asked, strict=True):
        processes[pool].add(future.result(60).process)
    sizes = {name: pool.workers_per_node for name, pool in load_site("local").pools}
    assert all(1 <= len(processes[pool]) <= sizes[pool] for pool in Pool)
    assert len(set.union(*processes.values())) == sum(len(found) for found in processes.values())


def test_the_kernel_is_not_global(pools):
    assert pools.submit(Pool.MD, abs, -1).result(60) == 1
    assert DataFlowKernelLoader._dfk is None


def test_the_sites_own_lines_come_first_and_threads_before_any_import():
    config = PoolConfig.model_validate(
        {"workers_per_node": 1, "threads_per_worker": 3, "worker_init": "module load x"}
    )
    lines = block_start(config, "watch").splitlines()
    assert lines[0] == "module load x"
    assert "export OMP_NUM_THREADS=3" in lines
    assert lines[-1] == "watch"


def test_sizes_reach_parsl(tmp_path):
    site = load_site("local")
    config = parsl_config(site, run_dir=tmp_path, watch="", answered=lambda _: 0)
    assert [executor.label for executor in config.executors] == ["gpu", "dft", "md"]
    for executor, (_, pool) in zip(config.executors, site.pools, strict=True):
        assert executor.max_workers_per_node == pool.workers_per_node
        assert (executor.heartbeat_period, executor.heartbeat_threshold) == (5, 20)
        assert (executor.address, executor.encrypted) == ("127.0.0.1", True)

"""Site configs: found by name or path, sized to the machine, refused in one line."""

import pytest

from bnnflow.errors import ConfigError
from bnnflow.records import PoolSize
from executors import pool_config
from executors.pool_config import GpuPool
from executors.site import list_sites, load_site, parse_site, shipped_folder


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine with so many cores and these accelerators."""

    def become(cores, accelerators=()):
        monkeypatch.setattr(pool_config, "usable_cores", lambda: cores)
        monkeypatch.setattr(pool_config, "usable_accelerators", lambda: tuple(accelerators))

    return become


def sizes(site):
    return {
        name: (pool.workers_per_node, pool.threads_per_worker, pool.accelerators)
        for name, pool in site.pools
    }


def test_local_on_two_cores(machine):
    machine(2)
    site = load_site("local")
    assert sizes(site) == {"gpu": (2, 1, ()), "dft": (2, 1, ()), "md": (1, 1, ())}
    assert site.pools.gpu.chains(8) == 4
    assert (site.address, site.encrypted) == ("127.0.0.1", True)
    assert (site.heartbeat_period_s, site.heartbeat_threshold_s) == (5, 20)


def test_local_on_one_core(machine):
    machine(1)
    site = load_site("local")
    assert sizes(site) == {"gpu": (1, 1, ()), "dft": (1, 1, ()), "md": (1, 1, ())}
    assert site.pools.gpu.chains(8) == 8


def test_local_with_two_accelerators(machine):
    machine(16, "01")
    found = sizes(load_site("local"))
    assert found == {"gpu": (2, 8, ("0", "1")), "dft": (8, 2, ()), "md": (2, 1, ("0", "1"))}


def test_an_empty_site_has_sizes(machine):
    machine(4)
    found = sizes(parse_site({"name": "bare"}))
    assert found == {"gpu": (4, 1, ()), "dft": (4, 1, ()), "md": (1, 1, ())}


@pytest.mark.parametrize(
    ("setting", "n_chains", "expected"), [("auto", 8, 3), ("auto", 2, 1), (2, 8, 2), (9, 8, 8)]
)
def test_chains_per_task(setting, n_chains, expected):
    pool = GpuPool.model_validate({"workers_per_node": 3, "chains_per_task": setting})
    assert pool.chains(n_chains) == expected


@pytest.mark.parametrize(
    ("workers", "given", "seen"),
    [
        (2, ["2", "3"], ("2", "3")),
        (1, [2, 3], ("2",)),
        (4, [0, 1], ("0", "1", "2", "3")),  # Parsl gives worker i device i // (workers / devices)
        (3, [], ()),
    ],
)
def test_accelerators_are_shared_out(workers, given, seen):
    pool = GpuPool.model_validate({"workers_per_node": workers, "accelerators": given})
    assert pool.worker_accelerators == seen


@pytest.mark.parametrize(("workers", "given"), [(3, [0, 1]), (4, [2, 3])])
def test_accelerators_that_cannot_be_shared(workers, given):
    pools = {"gpu": {"workers_per_node": workers, "accelerators": given}}
    with pytest.raises(ConfigError, match=r"pools.gpu cannot share accelerators"):
        parse_site({"name": "x", "pools": pools})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pools": {"gpu": {"worker_per_node": 2}}}, "did you mean pools.gpu.workers_per_node"),
        ({"heartbeat_period": 2}, "did you mean heartbeat_period_s"),
        ({"pools": {"cpu": {}}}, "pools.cpu is not a known key: did you mean pools.gpu"),
        ({"pools": {"dft": {"workers_per_node": 0}}}, "pools.dft.workers_per_node is 0"),
        ({"pools": {"dft": {"workers_per_node": "two"}}}, "workers_per_node is 'two'"),
        ({"pools": {"dft": {"provider": {"kind": "sge"}}}}, "provider.kind is 'sge', expected 'l"),
        ({"pools": {"gpu": {"chains_per_task": 0}}}, "a whole number above 0, or auto"),
        ({"pools": {"dft": {"chains_per_task": 1}}}, "pools.dft.chains_per_task is not a known"),
        ({"heartbeat_threshold_s": 6}, "at least twice"),
    ],
)
def test_a_wrong_site_is_one_line(values, message):
    with pytest.raises(ConfigError) as caught:
        parse_site({"name": "x", **values}, source="x.yaml")
    text = str(caught.value)
    assert message in text
    assert text.startswith("x.yaml: ")
    assert "\n" not in text


def test_sites_are_found_by_path_and_in_the_users_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    own = tmp_path / "bnnflow" / "sites" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("description: from the user's folder\n")
    (tmp_path / "there.yml").write_text("name: elsewhere\npools: {md: {workers_per_node: 3}}\n")
    assert load_site("mine").description == "from the user's folder"
    assert load_site(tmp_path / "there.yml").name == "elsewhere"
    assert load_site(tmp_path / "there.yml").pools.md.workers_per_node == 3
    shipped = {path.stem for path in shipped_folder().glob("*.yaml")}
    assert list_sites() == sorted(shipped | {"mine"})


def test_a_shipped_name_comes_before_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "local").write_text("name: another\n")
    assert load_site("local").name == "local"
    assert load_site("./local").name == "another"


def test_an_unknown_site_names_the_nearest():
    with pytest.raises(ConfigError, match=r"no site 'locl'.*did you mean local"):
        load_site("locl")
    with pytest.raises(ConfigError, match=r"known sites: .*local"):
        load_site("xyz")


def test_a_site_extends_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below.yaml").write_text(
        "idle_s: 7\npools:\n  dft:\n    workers_per_node: 4\n"
        "    provider: {kind: slurm, partition: cpu, walltime: 02:00:00}\n"
    )
    (tmp_path / "above.yaml").write_text(
        "extends: below.yaml\npools:\n  dft: {provider: {account: m1, walltime: 00:30:00}}\n"
    )
    site = load_site("above.yaml")
    dft = site.pools.dft
    assert (site.name, site.idle_s, dft.workers_per_node) == ("above", 7, 4)
    assert (dft.provider.partition, dft.provider.account) == ("cpu", "m1")
    assert dft.provider.walltime == "00:30:00"
    (tmp_path / "other.yaml").write_text(
        "extends: below.yaml\npools: {dft: {provider: {kind: local}}}\n"
    )
    assert load_site("other.yaml").pools.dft.provider.kind == "local"


def test_a_site_that_extends_itself(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "b.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(ConfigError, match="extends itself"):
        load_site("a.yaml")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "name: [\n"])
def test_a_file_that_is_no_site(tmp_path, text):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"site\.yaml"):
        load_site(path)


def test_sizes_by_which_costs_are_counted() -> None:
    """Workers of all blocks; cores and devices of one task, with MPI those of its ranks."""
    slurm = {"kind": "slurm", "cores_per_node": 64, "nodes_per_block": 4, "max_blocks": 2}
    mpi = {
        "placement": "nodes",
        "launcher": "srun",
        "nodes_per_label": 2,
        "ranks_per_node": 32,
        "threads_per_rank": 2,
        "gpus_per_node": 4,
    }
    pools = {
        "gpu": {"accelerators": 4, "workers_per_accelerator": 2, "threads_per_worker": 3},
        "dft": {"provider": slurm, "mpi": mpi},
        "md": {"workers_per_node": 1, "threads_per_worker": 5, "accelerators": 4},
    }
    found = {name: pool.size for name, pool in parse_site({"name": "x", "pools": pools}).pools}
    assert found == {
        "gpu": PoolSize(workers=8, cores=3, accelerators=0.5, nodes=0.125),
        "dft": PoolSize(workers=4, cores=128, accelerators=8.0, nodes=2.0),
        "md": PoolSize(workers=1, cores=5, accelerators=1.0),
    }

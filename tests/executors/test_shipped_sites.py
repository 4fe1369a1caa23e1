"""The site files of centres: they load, name their sources, and are refused until filled in."""

import re
import subprocess

import pytest

from bnnflow.errors import ConfigError
from executors.blocks.render import batch_scripts
from executors.check import check_site
from executors.pools import ParslExecutor
from executors.schema.blanks import blanks, require_filled
from executors.schema.shipped import shipped_files
from executors.schema.values import seconds
from executors.site import load_site, shipped_folder

FILES = shipped_files()
CENTRES = sorted(set(FILES) - {"local"})
FILLABLE = sorted(name for name in CENTRES if blanks(FILES[name]))


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    """As on a machine where nothing has been filled in."""
    for text in {text for name in CENTRES for text in blanks(FILES[name]).values()}:
        monkeypatch.delenv(text.removeprefix("$"), raising=False)


def filled(name, monkeypatch, tmp_path):
    """The site as its user has it: variables exported, the rest in a file that extends it."""
    own = {}
    for key, text in blanks(FILES[name]).items():
        if text.startswith("$"):
            monkeypatch.setenv(text[1:], f"my_{text[1:].lower()}")
            continue
        *above, last = key.split(".")
        section = own
        for part in above:
            section = section.setdefault(part, {})
        section[last] = "mine"
    path = tmp_path / f"my-{name}.yaml"
    path.write_text(str({"extends": name, **own}))
    return load_site(path)


def test_the_centres_of_the_papers_and_the_large_ones_are_there():
    papers = {"hsuper", "meluxina", "delta", "phoenix"}
    large = {"perlmutter", "frontier", "polaris", "aurora", "lumi", "juwels-booster", "leonardo"}
    assert set(CENTRES) == papers | large | {"marenostrum5", "generic-slurm"}


@pytest.mark.parametrize("name", CENTRES)
def test_it_loads_with_a_scheduler_behind_every_pool(name):
    site = load_site(name)
    assert site.name == name
    assert all(pool.scheduler is not None for _, pool in site.pools)
    assert site.pools.dft.mpi is not None
    assert site.encrypted


@pytest.mark.parametrize("name", CENTRES)
def test_it_names_its_source_or_says_that_it_has_none(name):
    site = load_site(name)
    text = (shipped_folder() / f"{name}.yaml").read_text()
    links = re.findall(r"https?://\S+", text)
    assert site.unverified == (not site.source)
    assert links == list(site.source), "no link but those of the sources"
    assert all(link.startswith("https://") for link in links)


@pytest.mark.parametrize("name", CENTRES)
def test_it_names_no_machine_to_listen_on_or_log_in_to(name):
    text = re.sub(r"https://\S+", "", (shipped_folder() / f"{name}.yaml").read_text())
    assert load_site(name).address == "auto"
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", text)
    assert not re.search(r"\b(login|ssh|@)\S*\.[a-z]{2,}\b", text)


@pytest.mark.parametrize("name", CENTRES)
def test_it_is_one_page(name):
    text = (shipped_folder() / f"{name}.yaml").read_text()
    assert len(text.splitlines()) <= 50
    assert "To fill in:" in text or "replace every <your" in text


@pytest.mark.parametrize("name", FILLABLE)
def test_it_is_refused_in_one_line_until_it_is_filled_in(name, monkeypatch, tmp_path):
    with pytest.raises(ConfigError) as caught:
        ParslExecutor(load_site(name))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"site {name} is not filled in: pools.gpu.provider.account is ")
    assert all(f"{key} is {text}" in message for key, text in blanks(FILES[name]).items())

    site = filled(name, monkeypatch, tmp_path)
    require_filled(name, site.model_dump())
    assert all(pool.provider.account for _, pool in site.pools)


def test_one_that_is_half_filled_in_is_refused_for_the_rest(monkeypatch):
    monkeypatch.setenv("BNNFLOW_GPU_ACCOUNT", "m1_g")
    site = load_site("perlmutter")
    assert site.pools.gpu.provider.account == site.pools.md.provider.account == "m1_g"
    assert blanks(site.model_dump()) == {"pools.dft.provider.account": "$BNNFLOW_CPU_ACCOUNT"}


def head(pool, provider):
    """What the head of a pool's batch script has to say to the scheduler, from the site's keys."""
    minutes = seconds(provider.walltime) // 60
    if provider.kind == "pbspro":
        said = {f"-A {provider.account}", f"-q {provider.queue}"}
        said |= {f"-l walltime={provider.walltime}", *provider.scheduler_options}
        return {f"#PBS {option}" for option in said}
    said = {f"--time={minutes}", f"--nodes={provider.nodes_per_block}"}
    for name in ("account", "partition", "qos", "constraint", "gres"):
        value = getattr(provider, name)
        said |= {f"--{name}={value}"} if value else set()
    gpus = provider.gpus_per_node
    said |= {f"--gpus-per-node={gpus}"} if gpus else set()
    said |= {"--exclusive"} if provider.exclusive else set()
    assert len(pool.accelerators) in (0, gpus or int(provider.gres.partition(":")[2] or 0))
    return {f"#SBATCH {option}" for option in said | set(provider.scheduler_options)}


@pytest.mark.parametrize("name", CENTRES)
def test_its_batch_scripts_render_once_it_is_filled_in(name, monkeypatch, tmp_path):
    site = filled(name, monkeypatch, tmp_path)
    scripts = batch_scripts(site, tmp_path)
    assert set(scripts) == {"gpu", "dft", "md"}
    for label, pool in site.pools:
        text = scripts[label]
        lines = set(text.splitlines())
        assert lines >= head(pool, pool.scheduler)
        assert lines >= {f"module load {module}" for module in pool.modules}
        assert not re.search(r"<your |\$BNNFLOW_(\w+_)?(ACCOUNT|QOS)", text)
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    assert f"export BNNFLOW_LAUNCHER='{site.pools.dft.mpi.prefix()}'" in scripts["dft"]


def test_the_check_shows_what_is_still_to_be_given():
    found = check_site("delta")
    assert [note.partition(":")[0] for note in found["notes"]] == [
        "pools.gpu.provider.account is $BNNFLOW_GPU_ACCOUNT",
        "pools.dft.provider.account is $BNNFLOW_CPU_ACCOUNT",
        "pools.md.provider.account is $BNNFLOW_GPU_ACCOUNT",
    ]
    assert "#SBATCH --account=$BNNFLOW_CPU_ACCOUNT" in found["scripts"]["dft"]
    assert check_site("generic-slurm")["notes"][0].startswith("no public page stands behind")

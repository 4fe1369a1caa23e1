"""The coordinator's batch script: what it asks for, and how its jobs follow one another.

The scripts run in a real shell, with stand-ins for Python and the scheduler's command.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bnnflow.errors import ConfigError
from executors import coordinator
from executors.coordinator import CoordinatorJob, coordinator_job
from executors.site import SiteConfig, parse_site
from workflows import console

POOLS = {
    "slurm": {"kind": "slurm", "account": "m1", "cores_per_node": 4},
    "pbspro": {"kind": "pbspro", "account": "m1", "cores_per_node": 4},
    "lsf": {"kind": "lsf", "account": "m1", "cores_per_node": 4},
    "flux": {"kind": "flux", "cores_per_node": 4},
}

PYTHON = """\
#!{python} -S
# One coordinator after another: the n-th does what the n-th line of plan says.
import pathlib, signal, sys, time
here = pathlib.Path(__file__).parent
with (here / "calls").open("a") as calls:
    print(*sys.argv[1:], file=calls)
n = len((here / "calls").read_text().splitlines())

def warned(*_):
    (here / "warned").touch()
    sys.exit(75)

signal.signal(signal.SIGUSR1, warned)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))

def commit():
    file = here / "run" / "commits" / f"{{n:06d}}.h5"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()

exec((here / "plan").read_text().splitlines()[n - 1])
"""


def site(kind: str = "slurm", **keys: Any) -> SiteConfig:
    return parse_site({"name": "x", "pools": {"dft": {"provider": POOLS[kind]}}} | keys)


def job(folder: Path, where: SiteConfig | None = None, walltime: str = "") -> CoordinatorJob:
    return coordinator_job(
        where or site(),
        folder,
        start=("run", "config.yaml"),
        resume=("resume", str(folder)),
        begun=folder / "commits" / "000001.h5",
        walltime=walltime,
    )


def head(found: CoordinatorJob, word: str) -> set[str]:
    return {line.removeprefix(word) for line in found.text.splitlines() if line.startswith(word)}


@pytest.mark.parametrize("kind", ["slurm", "pbspro", "lsf"])
def test_every_script_is_valid_shell_whose_head_comes_first(kind: str, tmp_path: Path) -> None:
    found = job(tmp_path, site(kind))
    subprocess.run(["bash", "-n"], input=found.text, text=True, check=True)
    lines = found.text.splitlines()
    marks = [line.startswith(("#SBATCH ", "#PBS ", "#BSUB ")) for line in lines[1:]]
    assert lines[0] == "#!/bin/bash" and marks[0] and not any(marks[marks.index(False) :])


def test_slurm(tmp_path: Path) -> None:
    keys = {"partition": "long", "qos": "light", "walltime": "48:00:00", "memory_GB": 8}
    found = job(tmp_path, site(coordinator={**keys, "scheduler_options": ["--constraint=cpu"]}))
    assert head(found, "#SBATCH ") == {
        "--job-name=bnnflow",
        f"--output={tmp_path}/coordinator/%j.log",
        "--time=48:00:00",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=2",
        "--signal=B:USR1@600",
        "--no-requeue",
        "--account=m1",  # of pool dft
        "--partition=long",
        "--qos=light",
        "--mem=8G",
        "--constraint=cpu",
    }
    assert "--stop-after 47:59:00 --notice 00:10:00" in found.text


def test_pbspro_and_lsf(tmp_path: Path) -> None:
    keys = {"queue": "long", "account": "m2", "cores": 3}
    pbs = job(tmp_path, site("pbspro", coordinator=keys), walltime="12:00:00")
    asked = {"-A m2", "-q long", "-l walltime=12:00:00", "-l select=1:ncpus=3", "-V"}
    assert head(pbs, "#PBS ") >= asked
    assert "--stop-after 11:59:00" in pbs.text and f"qsub {pbs.path}" in pbs.text
    lsf = job(tmp_path, site("lsf", coordinator=keys), walltime="12:00:00")
    assert head(lsf, "#BSUB ") >= {"-P m2", "-q long", "-W 720", "-n 3", '-R "span[hosts=1]"'}
    assert f"bsub <{lsf.path}" in lsf.text


def test_a_short_job_is_warned_at_its_half(tmp_path: Path) -> None:
    assert "--signal=B:USR1@150" in job(tmp_path, walltime="00:05:00").text


@pytest.mark.parametrize(
    ("where", "walltime", "words"),
    [
        (parse_site({"name": "here"}), "", "site here has no scheduler, expected one of slurm"),
        (site("flux"), "", "site x has flux, expected one of slurm"),
        (site(coordinator={"queue": "q"}), "", "coordinator.queue, which slurm has no use for"),
        (site("lsf", coordinator={"qos": "q"}), "", "coordinator.qos, which lsf has no use for"),
        (site(), "1 day", "hours:minutes:seconds"),
        (site(), "00:01:00", "expected more than 60 s"),
        (site(coordinator={"warning": "01:00:00"}), "00:30:00", "expected less than walltime"),
    ],
)
def test_what_cannot_be_submitted_is_one_line(
    where: SiteConfig, walltime: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        job(tmp_path, where, walltime)
    assert "\n" not in str(caught.value)


def test_wrong_keys_of_the_section_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"did you mean coordinator\.partition\?"):
        site(coordinator={"partiton": "cpu"})
    with pytest.raises(ConfigError, match=r"coordinator\.cores"):
        site(coordinator={"cores": 0})


def test_a_folder_with_a_space(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has a space in it"):
        job(tmp_path / "my run")


def test_the_code_is_that_of_the_command_line() -> None:
    assert coordinator.AGAIN == console.AGAIN


class Chain:
    """A run folder, and the jobs that drive it; those that were submitted again are counted."""

    def __init__(self, tmp_path: Path, plan: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = tmp_path
        (tmp_path / "plan").write_text("\n".join(plan) + "\n")
        programs = {
            "python": PYTHON.format(python=sys.executable),
            "sbatch": '#!/bin/bash\necho "$1" >>"$(dirname "$0")/sent"\n',
        }
        for name, text in programs.items():
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        self.job = job(tmp_path / "run")
        self.job.path.parent.mkdir(parents=True)
        self.job.path.write_text(self.job.text)

    def next(self, number: signal.Signals | None = None) -> int:
        """Exit code of one job. number: of a signal that it gets once it has committed."""
        process = subprocess.Popen(["bash", self.job.path], start_new_session=True)
        try:
            if number is not None:
                give_up = time.monotonic() + 20
                while not (self.folder / "run" / "commits").exists():
                    assert time.monotonic() < give_up
                    time.sleep(0.05)
                process.send_signal(number)
            return process.wait(30)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def lines(self, name: str) -> list[str]:
        file = self.folder / name
        return file.read_text().splitlines() if file.exists() else []


def test_jobs_follow_one_another_until_all_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(
        tmp_path, ["commit(); sys.exit(75)", "commit(); sys.exit(75)", "sys.exit(0)"], monkeypatch
    )
    assert [chain.next() for _ in range(3)] == [0, 0, 0]
    assert chain.lines("sent") == [str(chain.job.path)] * 2
    words = [line.split("workflows.cli ")[1].split(" --")[0] for line in chain.lines("calls")]
    assert words == ["run config.yaml", *[f"resume {tmp_path}/run"] * 2]


@pytest.mark.parametrize("code", [1, 2, 130])
def test_a_run_that_failed_is_not_submitted_again(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(tmp_path, [f"commit(); sys.exit({code})"], monkeypatch)
    assert chain.next() == code and chain.lines("sent") == []


def test_jobs_without_a_commit_come_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two without, one with, then three without: only those in a row count."""
    plan = [
        "sys.exit(75)",
        "sys.exit(75)",
        "commit(); sys.exit(75)",
        "sys.exit(75)",
        "sys.exit(75)",
        "sys.exit(75)",
    ]
    chain = Chain(tmp_path, plan, monkeypatch)
    assert [chain.next() for _ in plan] == [0, 0, 0, 0, 0, 75]
    assert len(chain.lines("sent")) == 5


def test_the_warning_reaches_the_coordinator_whose_code_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(tmp_path, ["commit(); time.sleep(20)"], monkeypatch)
    assert chain.next(signal.SIGUSR1) == 0
    assert (tmp_path / "warned").exists() and len(chain.lines("sent")) == 1


def test_cancelling_the_job_ends_the_coordinator_and_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(tmp_path, ["commit(); time.sleep(20)"], monkeypatch)
    assert chain.next(signal.SIGTERM) == 130
    assert chain.lines("sent") == []


def test_submitting_says_what_the_scheduler_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = job(tmp_path / "run")
    with pytest.raises(ConfigError, match="sbatch was not found"):
        found.send()
    assert not (tmp_path / "run").exists()
    program = tmp_path / "sbatch"
    program.write_text("#!/bin/sh\necho Submitted batch job 7 $SLURM_NTASKS\n")
    program.chmod(0o755)
    monkeypatch.setenv("SLURM_NTASKS", "64")
    assert found.send() == "Submitted batch job 7"
    assert found.path.read_text() == found.text
    program.write_text("#!/bin/sh\necho invalid partition >&2\nexit 1\n")
    with pytest.raises(ConfigError, match=r"did not accept .*: invalid partition"):
        found.send()

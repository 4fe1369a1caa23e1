"""The batch script of a coordinator: it drives a run in jobs that submit one another."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from bnnflow.config.messages import one_line
from bnnflow.errors import ConfigError
from executors.blocks.start import PYTHON_OPTIONS, module_path
from executors.schema.coordinator import CoordinatorConfig
from executors.schema.values import as_walltime, seconds
from executors.site import SiteConfig

AGAIN = 75
"""Exit code of a coordinator whose time is up with work left."""
IDLE_JOBS = 3
"""Jobs in a row without a commit after which no other one is submitted."""

_SCRIPT = """\
#!/bin/bash
{head}

# Written by `bnnflow submit`. The job drives the run until its time is up, and submits the next one
# while work is left. Jobs in a row that committed nothing: {here}/idle
trap '' USR1  # until the coordinator listens: a warning must not end what cannot hear it
cd {cwd} || exit 1
{setup}

commits() {{ find {folder} -path '*/commits/*.h5' 2>/dev/null | wc -l; }}

before=$(commits)
command=({start})
[ ! -e {begun} ] || command=({resume})

"${{command[@]}}" &
coordinator=$!
forward() {{ signalled=1; kill -"$1" "$coordinator" 2>/dev/null; }}
trap 'forward USR1' USR1
trap 'forward TERM' TERM
signalled=1
while [ "$signalled" ]; do  # a signal ends the wait, not the coordinator
    signalled=
    wait "$coordinator"
    code=$?
done
trap '' USR1

[ "$code" -eq {again} ] || exit "$code"
idle=$(cat {here}/idle 2>/dev/null || echo 0)
[ "$(commits)" -gt "$before" ] && idle=0 || idle=$((idle + 1))
echo "$idle" >{here}/idle
if [ "$idle" -ge {idle_jobs} ]; then
    echo "bnnflow: $idle jobs in a row committed nothing, so none is submitted again:" \\
        "give the coordinator a longer walltime, then \\`bnnflow submit\\` it" >&2
    exit {again}
fi
{submit}
"""


@dataclass(frozen=True)
class CoordinatorJob:
    """One batch script. submit: words that submit it; redirect: it is read from stdin."""

    path: Path
    text: str
    submit: tuple[str, ...]
    redirect: bool = False

    def send(self) -> str:
        """Write the script and submit it; returns what the scheduler says.

        Raises ConfigError when the scheduler is not here, or refuses.
        """
        if shutil.which(self.submit[0]) is None:
            raise ConfigError(
                f"{self.submit[0]} was not found, expected on PATH: submit from a machine of the "
                "site, or print the script with --dry-run"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(self.text, encoding="utf-8")
        (self.path.parent / "idle").unlink(missing_ok=True)
        done = subprocess.run(
            self.submit if self.redirect else [*self.submit, str(self.path)],
            input=self.text if self.redirect else None,
            capture_output=True,
            text=True,
            env=_outside_any_job(),
            check=False,
        )
        said = " ".join(f"{done.stdout} {done.stderr}".split())
        if done.returncode != 0:
            raise ConfigError(f"{self.submit[0]} did not accept {self.path}: {said}")
        return said


def coordinator_job(
    site: SiteConfig,
    folder: Path,
    *,
    start: Sequence[str],
    resume: Sequence[str],
    begun: Path,
    walltime: str = "",
) -> CoordinatorJob:
    """The job that drives a run or a campaign at a site.

    folder: of the run or campaign, absolute; start, resume: words of `bnnflow` that begin it and go
    on with it, the latter once the file `begun` is there; walltime: HH:MM:SS, instead of the
    site's. Raises ConfigError for a site whose scheduler is none that can be asked here.
    """
    keys = _keys(site, walltime)
    kind = _kind(site, keys)
    _refuse_spaces(folder)
    here = folder / "coordinator"
    scheduler = _SCHEDULERS[kind]
    path = here / "job.sh"
    more = ["--stop-after", as_walltime(keys.stop_after_s), "--notice", as_walltime(keys.warning_s)]
    python = [sys.executable, *PYTHON_OPTIONS, "workflows.cli"]
    text = _SCRIPT.format(
        head="\n".join(scheduler.head(keys, _account(site, keys), here)),
        here=here,
        folder=folder,
        begun=shlex.quote(str(begun)),
        cwd=shlex.quote(str(Path.cwd())),
        setup=_setup(keys),
        start=shlex.join([*python, *start, *more]),
        resume=shlex.join([*python, *resume, *more]),
        again=AGAIN,
        idle_jobs=IDLE_JOBS,
        submit=scheduler.again.format(script=path),
    )
    return CoordinatorJob(path, text, scheduler.submit, scheduler.redirect)


def _slurm(keys: CoordinatorConfig, account: str, here: Path) -> list[str]:
    options = [
        "--job-name=bnnflow",
        f"--output={here}/%j.log",
        f"--time={keys.walltime}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={keys.cores}",
        f"--signal=B:USR1@{keys.warning_s}",
        "--no-requeue",
        *_given("--account=", account),
        *_given("--partition=", keys.partition),
        *_given("--qos=", keys.qos),
        *_given("--mem=", f"{keys.memory_GB}G" if keys.memory_GB else ""),
    ]
    return [f"#SBATCH {option}" for option in (*options, *keys.scheduler_options)]


def _pbspro(keys: CoordinatorConfig, account: str, here: Path) -> list[str]:
    options = [
        "-N bnnflow",
        "-j oe",
        f"-o {here}/",
        f"-l walltime={keys.walltime}",
        f"-l select=1:ncpus={keys.cores}",
        "-r n",
        "-V",
        *_given("-A ", account),
        *_given("-q ", keys.queue),
    ]
    return [f"#PBS {option}" for option in (*options, *keys.scheduler_options)]


def _lsf(keys: CoordinatorConfig, account: str, here: Path) -> list[str]:
    options = [
        "-J bnnflow",
        f"-o {here}/%J.log",
        f"-W {seconds(keys.walltime) // 60}",
        f"-n {keys.cores}",
        '-R "span[hosts=1]"',
        *_given("-P ", account),
        *_given("-q ", keys.queue),
    ]
    return [f"#BSUB {option}" for option in (*options, *keys.scheduler_options)]


@dataclass(frozen=True)
class _Scheduler:
    """How one is asked: lines of the head, words that submit, and the same from inside a job."""

    head: Callable[[CoordinatorConfig, str, Path], list[str]]
    submit: tuple[str, ...]
    again: str
    unused: tuple[str, ...]
    redirect: bool = False


_SCHEDULERS: Mapping[str, _Scheduler] = {
    "slurm": _Scheduler(
        _slurm,
        ("sbatch",),
        # What Slurm told this job about itself must not reach the next one.
        "unset $(compgen -v SLURM_ | grep -vx -e SLURM_CONF -e SLURM_CLUSTERS)\nsbatch {script}",
        unused=("queue",),
    ),
    "pbspro": _Scheduler(
        _pbspro, ("qsub",), "qsub {script}", unused=("partition", "qos", "memory_GB")
    ),
    "lsf": _Scheduler(
        _lsf, ("bsub",), "bsub <{script}", unused=("partition", "qos", "memory_GB"), redirect=True
    ),
}


def _keys(site: SiteConfig, walltime: str) -> CoordinatorConfig:
    given = site.coordinator.model_dump(exclude_unset=True)
    try:
        return CoordinatorConfig.model_validate(
            given | ({"walltime": walltime} if walltime else {})
        )
    except ValidationError as error:
        raise ConfigError(f"coordinator: {one_line(error, CoordinatorConfig)}") from error


def _kind(site: SiteConfig, keys: CoordinatorConfig) -> str:
    pools = {pool.scheduler.kind for _, pool in site.pools if pool.scheduler is not None}
    kinds = pools if keys.kind == "auto" else {keys.kind}
    if len(kinds) != 1 or not kinds <= set(_SCHEDULERS):
        found = " and ".join(sorted(kinds)) or "no scheduler"
        raise ConfigError(
            f"site {site.name} has {found}, expected one of {', '.join(_SCHEDULERS)}: give "
            "coordinator.kind, or put `bnnflow resume FOLDER --stop-after TIME` into a job by hand "
            f"that is submitted again while it ends with {AGAIN}"
        )
    (kind,) = kinds
    unused = [key for key in _SCHEDULERS[kind].unused if getattr(keys, key)]
    if unused:
        raise ConfigError(
            f"site {site.name} has coordinator.{unused[0]}, which {kind} has no use for: give it "
            "as an entry of coordinator.scheduler_options, or remove it"
        )
    return kind


def _account(site: SiteConfig, keys: CoordinatorConfig) -> str:
    """Its own, else that of the first pool whose jobs somebody pays for."""
    if keys.account is not None:
        return keys.account
    pools = (site.pools.dft, site.pools.md, site.pools.gpu)
    found = [pool.scheduler.account for pool in pools if pool.scheduler is not None]
    return next((account for account in found if account), "")


def _setup(keys: CoordinatorConfig) -> str:
    modules = [f"module load {shlex.quote(name)}" for name in keys.modules]
    paths = [
        f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
        f"export PYTHONPATH={shlex.quote(module_path())}",
    ]
    return "\n".join([*modules, *([keys.init] if keys.init else []), *paths])


def _given(option: str, value: str) -> list[str]:
    return [f"{option}{value}"] if value else []


def _refuse_spaces(folder: Path) -> None:
    """Heads of batch scripts have no common way to quote a path."""
    if any(char.isspace() for char in str(folder)):
        raise ConfigError(f"'{folder}' has a space in it, which batch scripts do not take: move it")


def _outside_any_job() -> dict[str, str]:
    """The environment without what Slurm told a job around this process about its own size."""
    kept = ("SLURM_CONF", "SLURM_CLUSTERS")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SLURM_") or name in kept
    }

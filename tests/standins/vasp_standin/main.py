"""The program: one run in the current folder, or one of the failures on request."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from .job import Job, Refused, read_job
from .outcar_file import outcar
from .solve import Solution, solve
from .xml_file import vasprun

RANKS = ("OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", "SLURM_PROCID")
MESSAGES = {
    "crash": " VERY BAD NEWS! internal error in subroutine IBZKPT:\n Reciprocal lattice and "
    "k-lattice belong to different class of lattices.",
    "disk": "forrtl: No space left on device\nforrtl: severe (38): error during write, unit 12",
    "memory": "forrtl: severe (41): insufficient virtual memory",
    "zhegv": " Error EDDDAV: Call to ZHEGV failed. Returncode =  12 2 24",
}


def main() -> int:
    """Run; returns the exit code."""
    if any(os.environ.get(name, "0") != "0" for name in RANKS):
        return 0
    try:
        return _run(read_job())
    except Refused as refusal:
        print(f"|     {refusal}     |")
        print("  ----> I REFUSE TO CONTINUE WITH THIS SICK JOB ... BYE!!! <----")
        return 1


def _run(job: Job) -> int:
    print(" running on    1 total cores\n vasp stand-in\n", "\n ".join(job.warnings), flush=True)
    mode = _mode(job)
    robust = job.text("ALGO", "Normal").strip().upper()[:1] in {"A", "D"}
    if mode == "hang":
        time.sleep(3600)
    if mode in MESSAGES and not (mode == "zhegv" and robust):
        print(MESSAGES[mode], file=sys.stderr, flush=True)
        return 1
    careful = robust or job.number("AMIX", 0.4) <= 0.2
    may_converge = mode != "unconverged" and (mode != "sloshing" or careful)
    solution = solve(job, may_converge=may_converge, warm=_warm(job))
    _write(job, solution, mode)
    return 0


def _mode(job: Job) -> str:
    words = job.text("SYSTEM", "").split()
    asked = words[1] if words[:1] == ["standin"] and len(words) > 1 else ""
    return os.environ.get("VASP_STANDIN", asked)


def _warm(job: Job) -> bool:
    """Whether there are orbitals to start from; those of another job are refused, as VASP does."""
    if job.number("ISTART", 0) != 1 or not Path("WAVECAR").is_file():
        return False
    print(" found WAVECAR, reading the header")
    if Path("WAVECAR").read_text() != _fingerprint(job):
        raise Refused("ERROR: while reading WAVECAR, plane wave coefficients changed")
    return True


def _fingerprint(job: Job) -> str:
    return (
        f"stand-in {job.atoms.get_chemical_formula()} {len(job.kpoints)} {job.number('ISPIN', 1)}\n"
    )


def _write(job: Job, solution: Solution, mode: str) -> None:
    scaled = job.atoms.get_scaled_positions(wrap=True)
    if mode == "geometry":
        scaled[0] += 0.01 / job.atoms.cell.lengths()
    positions = scaled @ job.atoms.cell.array
    files = {
        "OSZICAR": _oszicar(solution),
        "OUTCAR": outcar(job, solution, positions),
        "vasprun.xml": vasprun(job, solution, scaled, nan_forces=mode == "nan"),
    }
    print(files["OSZICAR"], end="")
    if mode in {"truncated", "killed"}:
        files = {name: text[: int(0.6 * len(text))] for name, text in files.items()}
    for name, text in files.items():
        Path(name).write_text(text)
    if mode == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode != "truncated":
        _write_rest(job)


def _write_rest(job: Job) -> None:
    Path("CONTCAR").write_text(Path("POSCAR").read_text())
    for tag, name in (("LWAVE", "WAVECAR"), ("LCHARG", "CHGCAR")):
        if job.flag(tag, True):
            Path(name).write_text(_fingerprint(job))
    print(" writing wavefunctions")


def _oszicar(solution: Solution) -> str:
    head = "       N       E                     dE             d eps       ncg     rms\n"
    steps = [
        f"DAV: {step:3d}    {energy:18.12E}   {change:12.5E}  {0.5 * change:12.5E}   100   0.1\n"
        for step, (energy, change) in enumerate(
            zip(solution.energies, solution.changes, strict=True), start=1
        )
    ]
    energy = solution.energies[-1]
    moment = float(np.sum(solution.moments))
    last = f"   1 F= {energy:.8E} E0= {energy + 0.5 * solution.entropy:.8E}  d E =0.000000E+00"
    return head + "".join(steps) + f"{last}  mag= {moment:10.4f}\n"

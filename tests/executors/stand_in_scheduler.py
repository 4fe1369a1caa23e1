"""PBS Pro, LSF and Flux for one machine: the commands that pools use, with these programs' words.

Linked as qsub, qstat, qdel, bsub, bjobs, bkill and flux. A job is a script run in a process group
of its own; its state is a file JOB below $STAND_IN_JOBS: its process, or "held".
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

JOBS = Path(os.environ["STAND_IN_JOBS"])


def submit(script: str) -> str:
    (JOBS / "lines").open("a").write(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]) + "\n")
    name = str(len(list(JOBS.glob("[0-9]*"))) + 1)
    job = subprocess.Popen(
        ["bash", script],
        stdin=subprocess.DEVNULL,
        stdout=(JOBS / f"out-{name}").open("w"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    (JOBS / name).write_text(str(job.pid))
    return name


def running(name: str) -> bool:
    try:
        line = Path(f"/proc/{(JOBS / name).read_text()}/stat").read_text()
    except OSError:
        return False
    return line.rpartition(")")[2].split()[0] not in "ZX"


def cancel(names: list[str]) -> None:
    for name in names:
        if running(name):
            os.killpg(int((JOBS / name).read_text()), signal.SIGKILL)


def names() -> list[str]:
    return sorted(path.name for path in JOBS.glob("[0-9]*"))


def pbspro(command: str, words: list[str]) -> None:
    if command == "qsub":
        print(f"{submit(words[-1])}.stand-in")
    elif command == "qdel":
        cancel([word.partition(".")[0] for word in words])
    else:
        asked = [word for word in words if word.endswith(".stand-in")]
        jobs = {
            name: {"job_state": "R" if running(name.partition(".")[0]) else "F"} for name in asked
        }
        print(json.dumps({"Jobs": jobs}))


def lsf(command: str, words: list[str]) -> None:
    if command == "bsub":  # bsub < script
        script = JOBS / f"script-{os.getpid()}"
        script.write_text(sys.stdin.read())
        print(f"Job <{submit(str(script))}> is submitted to queue <normal>.")
    elif command == "bkill":
        cancel(words)
    else:
        for name in names():
            print(f"{name}|{'RUN' if running(name) else 'DONE'}|-")


def flux(words: list[str]) -> None:
    if words[0] == "batch":
        print("ƒ" + submit(words[1]))
    elif words[:2] == ["job", "id"]:
        print(words[-1].removeprefix("ƒ"))
    elif words[0] == "cancel":
        cancel(words[1:])
    else:
        for name in names():
            print(f"{name}|{'RUN' if running(name) else 'COMPLETED'}")


if __name__ == "__main__":
    program = Path(sys.argv[0]).name
    if program == "flux":
        flux(sys.argv[1:])
    elif program.startswith("q"):
        pbspro(program, sys.argv[1:])
    else:
        lsf(program, sys.argv[1:])

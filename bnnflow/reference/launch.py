"""How an MPI code is started: words in front of its command, which the site knows.

A pool of labels says them to its workers in `BNNFLOW_LAUNCHER`, for example
`mpirun -np 4`, `srun --exact --ntasks=4` or `$PARSL_MPI_PREFIX`; `reference.launcher` of a run's
config comes before that, for work without pools. Neither: one process.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from string import Template

from bnnflow.errors import ConfigError

VARIABLE = "BNNFLOW_LAUNCHER"


def launched(
    command: Sequence[str], *, launcher: str = "", environment: Mapping[str, str] = os.environ
) -> list[str]:
    """An MPI program's command behind its launcher.

    launcher: words as a shell reads them, $NAME standing for a variable of the environment; "":
    those of `BNNFLOW_LAUNCHER`. Raises ConfigError when a variable is not set or a quote is open.
    """
    text = launcher or environment.get(VARIABLE, "")
    try:
        return [*shlex.split(Template(text).substitute(environment)), *command]
    except KeyError as error:
        raise ConfigError(
            f"the launcher {text!r} uses variable {error.args[0]}, which is not set where labels "
            "are calculated: set it in worker_init of the dft pool, or correct the launcher"
        ) from error
    except ValueError as error:
        raise ConfigError(f"the launcher {text!r} cannot be read ({error}): correct it") from error

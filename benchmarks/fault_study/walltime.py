"""The coordinator comes to the end of its walltime: it drains, and another one goes on."""

from __future__ import annotations

import contextlib
import io
import random
import time
from pathlib import Path

from bnnflow.config import RunConfig
from fault_study.reference import plan
from fault_study.study import Study, Tally, finish
from workflows import session
from workflows.deadline import Deadline


def walltime(study: Study, rng: random.Random) -> Tally:
    """Two sessions in turn that have a random part of the run's time, then one with enough."""
    config = study.config()
    whole = study.uninterrupted("inline", config)
    seconds = study.usual_seconds("inline", config)
    with study.try_folder() as run:
        plan(study.armed)
        left = [_session(config, run, rng.uniform(0.0, seconds)), False]
        if left[0]:
            left[1] = _session(config, run, rng.uniform(0.0, seconds))
        finish(config, run)
        return study.judge(run, like=whole, idle=int(not any(left)))


def _session(config: RunConfig, run: Path, seconds: float) -> bool:
    """Whether it left work to the next."""
    deadline = Deadline(end=time.time() + seconds)
    with contextlib.redirect_stdout(io.StringIO()):
        if (run / "run.h5").is_file():
            session.resume([run], inline=True, deadline=deadline)
        else:
            session.fine_tune([config], folders=[run], inline=True, deadline=deadline)
    return deadline.missed

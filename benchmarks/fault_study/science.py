"""Chains that are not finite, members that predict nothing, and ensembles that let MD explode."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from bnnflow import tasks
from bnnflow.config import RunConfig
from bnnflow.data import read_run
from bnnflow.errors import TaskError
from bnnflow.potentials.ensemble import Ensemble, MemberArrays
from bnnflow.records import PropagateRequest, Segment
from fault_study.reference import plan
from fault_study.study import Study, Tally, finish
from workflows import jobs, session

sampling = import_module("bnnflow.training.sample")  # the package has a function of this name
RTO = {
    "schedule": "rto",
    "chains": 2,
    "steps": None,
    "step_size": None,
    "trajectories": 2,
    "leapfrog_steps": 2,
    "max_jacobians": 2,
    "max_steps": 3,
}
Spoil = Callable[[MemberArrays], MemberArrays]


def nan_chain(study: Study, rng: random.Random) -> Tally:
    """A random chain of a random update ends as NaN, with either schedule."""
    sampler = rng.choice([{}, RTO])
    config = study.config(sampler=sampler, dynamics={"length_ps": 0.003})
    at, chain, calls = rng.randrange(3), rng.randrange(2), [0]
    real = sampling._move

    def move(*arguments: Any) -> Any:
        moved = real(*arguments)
        calls[0] += 1
        if calls[0] == at + 1:
            moved.position[chain, rng.randrange(moved.position.shape[1])] = torch.nan
        return moved

    with study.try_folder() as run, patch.object(sampling, "_move", move):
        plan(study.armed)
        finish(config, run)
        return study.judge(run, idle=int("non_finite" not in read_run(run).failures.cause))


def nan_prediction(study: Study, rng: random.Random) -> Tally:
    """A random member of the first two ensembles predicts NaN from a random step on."""
    member = rng.randrange(2)

    def spoil(found: MemberArrays) -> MemberArrays:
        forces = found.forces.copy()
        forces[member, rng.randrange(3), 1] = np.nan
        return replace(found, forces=forces)

    return _md_goes_wrong(study, rng, spoil)


def explosion(study: Study, rng: random.Random) -> Tally:
    """Forces of the first two ensembles turn round and grow from a random step on."""
    factor = 10.0 ** rng.uniform(1.3, 3.0)
    return _md_goes_wrong(study, rng, lambda found: replace(found, forces=-factor * found.forces))


def _md_goes_wrong(study: Study, rng: random.Random, spoil: Spoil) -> Tally:
    config = study.config(dynamics={"length_ps": 0.006})
    with study.try_folder() as run, spoilt(spoil, after=rng.randrange(1, 5), versions={1, 2}):
        plan(study.armed)
        finish(config, run)
        failed = [task for task in read_run(run).failures.task if task == "propagate"]
        evidence = list(run.glob("evidence/*/frames.extxyz"))
        amiss = [] if len(evidence) == len(failed) else ["no evidence of MD that went astray"]
        return study.judge(run, idle=int(not failed), amiss=amiss)


def hopeless_material(study: Study, rng: random.Random) -> Tally:
    """One of two materials explodes whatever it learns: the other one must not notice."""
    config = study.config(dynamics={"length_ps": 0.006})
    whole = study.uninterrupted("longer", config)
    factor = 10.0 ** rng.uniform(2.0, 3.0)

    def spoil(found: MemberArrays) -> MemberArrays:
        return replace(found, forces=-factor * found.forces)

    with study.try_folder() as run:
        plan(study.armed)
        folders = [run / "bad", run / "good"]
        everything = set(range(1, 100))
        with spoilt(spoil, after=rng.randrange(1, 5), versions=everything, only="bad"):
            told = _both(config, folders)
        kept = sorted(path.name for path in (run / "bad").glob("evidence/*"))
        amiss = [] if kept and f"evidence/{kept[-1]}" in told else [f"without its evidence: {told}"]
        return study.judge(folders[1], like=whole, amiss=amiss)


def _both(config: RunConfig, folders: list[Path]) -> str:
    """Drive two materials over the same pools; what became of them in words."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            session.fine_tune([config] * 2, folders=folders, inline=True)
    except TaskError as error:
        return str(error)
    return "nothing"


@contextmanager
def spoilt(spoil: Spoil, *, after: int, versions: set[int], only: str = "") -> Iterator[None]:
    """Members of these versions give other answers in MD, beyond a step. only: of which run."""
    real_task, real_members, now = tasks.propagate, Ensemble.members, [False]
    steps = [0]

    def propagate(request: PropagateRequest) -> Segment:
        here = only in Path(request.ensemble.directory).parts
        now[0] = request.ensemble.version in versions and (here or not only)
        steps[0] = request.checkpoint.step
        try:
            found: Segment = real_task(request)
        finally:
            now[0] = False
        return found

    def members(self: Ensemble, structure: Any) -> MemberArrays:
        steps[0] += 1
        found = real_members(self, structure)
        return spoil(found) if now[0] and steps[0] > after else found

    pool, _, name = jobs.PLACES[PropagateRequest]
    with (
        patch.dict(jobs.PLACES, {PropagateRequest: (pool, propagate, name)}),
        patch.object(Ensemble, "members", members),
    ):
        yield

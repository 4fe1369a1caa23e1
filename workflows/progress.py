"""What a run says on screen and in its run.log while it goes on."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from bnnflow.data import RunData
from bnnflow.records import (
    Asked,
    Commit,
    Decision,
    Driven,
    Failed,
    Labelled,
    Phase,
    Reason,
    Spent,
    Updated,
)
from bnnflow.uncertainty import LOCK_IN_REMEDIES, locked_in
from bnnflow.units import to_kcal_per_mol
from workflows.learning import rule_calibration
from workflows.ledger import Clock
from workflows.plan import Plan

Told = TypeVar("Told")

TIMES = ("md", "explore", "label", "update", "queued", "idle")
"""Kinds of wall time, in the order shown; queued: for room in a pool that others share."""
_RARE = ("explore", "queued")
"""Shown where there was any. explore: making frames for the initial data."""
MISFIT_KCAL_PER_MOL_A = 7.0
"""Force error on its own data that says that an ensemble has not found its labels: as large as that
of a foundation model."""
MISFIT_REMEDY = (
    "the prior does not reach these labels, so that their forces count as noise: in a new run, set "
    "sampler.prior_force_spread_kcal_per_mol_A to more, such as 20 (where potential.prior_std is "
    "given, or schedule is published: that instead)"
)
_UNCOUNTED = (Reason.AUDIT, Reason.GUARD, Reason.INITIAL)
"""Reasons of labels that are no interventions."""


@dataclass(eq=False)
class Progress:
    """Counts what one run has done, and writes a line for each thing worth seeing."""

    name: str
    plan: Plan
    write: Callable[[str], None]
    clocks: dict[str, Clock] = field(default_factory=lambda: {kind: Clock() for kind in TIMES})
    errors: list[float] = field(default_factory=list)
    labels: int = 0
    warned: bool = False
    warned_of_misfit: bool = False

    def catch_up(self, run: RunData) -> None:
        """Take over what earlier sessions of this run did."""
        self.labels = len(run.labels.error)
        labels = zip(run.labels.error, run.labels.reason, strict=True)
        self.errors = [
            float(error)
            for error, reason in labels
            if np.isfinite(error) and reason not in _UNCOUNTED
        ]
        timing = run.timing
        for kind, *span in zip(timing.kind, timing.start_s, timing.seconds, strict=True):
            self._spend(str(kind), *map(float, span))

    def show(self, commit: Commit) -> None:
        """Say what a commit wrote."""
        for event in commit.events:
            line = self._line(event)
            if line:
                self.write(f"{self.name}  {line}")
        self._tell_of_initial(commit)
        self._warn(commit)

    def stop(self, error: Exception) -> None:
        """Say that an error ended this run; others may go on."""
        self.write(f"{self.name}  stopped: {error}")

    def leave(self, reason: str) -> None:
        """Say that the run is left where it stands, to be resumed."""
        self.write(f"{self.name}  left where it stands: {reason}")

    def notice(self, line: str) -> None:
        """Say what the pools have to tell, e.g. that a job waits in its queue."""
        self.write(f"{self.name}  {line}")

    def _line(self, event: object) -> str:
        match event:
            case Labelled():
                return self._labelled(event)
            case Updated():
                return _updated(event)
            case Driven():
                return self._driven(event) if len(event.segment.steps) else ""
            case Spent():
                self._spend(event.kind, event.start_s, event.seconds)
            case Failed(failure=failure, action=action):
                return f"{failure.task} failed, {failure.cause}: {failure.message} ({action})"
            case Asked(decision=decision):
                return _asked(decision)
        return ""

    def _labelled(self, event: Labelled) -> str:
        self.labels += 1
        took = f"label {event.name} took {event.label.seconds:.1f} s"
        if event.prediction is None:
            return f"{took} ({'initial' if event.reason is Reason.INITIAL else 'first'} frame)"
        if event.reason not in _UNCOUNTED:
            self.errors.append(event.error)
        sigma = to_kcal_per_mol(event.prediction.energy_std)
        return f"{took}: error {to_kcal_per_mol(event.error):+.3f}, sigma {sigma:.3f} kcal/mol"

    def _driven(self, event: Driven) -> str:
        step = event.segment.checkpoint.step
        time_ps = step * self.plan.dynamics.timestep_fs / 1000.0
        length = self.plan.n_steps * self.plan.dynamics.timestep_fs / 1000.0
        above = sum(abs(error) > self.plan.threshold for error in self.errors)
        spent = {kind: self.clocks[kind].seconds for kind in TIMES}
        shown = [kind for kind in TIMES if kind not in _RARE or spent[kind] >= 1.0]
        times = "  ".join(f"{kind} {spent[kind]:.0f} s" for kind in shown)
        return (
            f"{time_ps:.4f}/{length:g} ps  {self.labels} labels  "
            f"above K {above}/{len(self.errors)}  sigma/limit {_ratio(event)}  {times}"
        )

    def _spend(self, kind: str, start: float, seconds: float) -> None:
        """Labels that go on at once do not add up."""
        self.clocks[kind].pass_by(start, seconds)

    def _tell_of_initial(self, commit: Commit) -> None:
        """A line when frames begin to be made, and one when those to be labelled are chosen."""
        if commit.state.phase is Phase.EXPLORE and self.plan.initial is not None:
            words = ", ".join(source.words for source in self.plan.initial.sources)
            self.write(f"{self.name}  making frames for the initial data: {words}")
        if commit.state.initial and any(isinstance(event, Asked) for event in commit.events):
            chosen = Counter(frame.origin for frame in commit.state.initial)
            words = ", ".join(f"{count} of {origin}" for origin, count in chosen.items())
            self.write(f"{self.name}  labelling {chosen.total()} frames at once: {words}")

    def _warn(self, commit: Commit) -> None:
        """Each once, as long as it holds."""
        for event in commit.events:
            if isinstance(event, Updated):
                self._warn_of_misfit(to_kcal_per_mol(_mean_of(event, "force_rmse")))
        stuck = locked_in(
            rule_calibration(commit.state, self.plan),
            floor_std=self.plan.energy_std,
            threshold=self.plan.threshold,
            confidence=self.plan.confidence,
        )
        if stuck and not self.warned:
            self.write(f"{self.name}  WARNING locked in: {LOCK_IN_REMEDIES}")
        self.warned = stuck

    def _warn_of_misfit(self, force: float) -> None:
        misfit = force > MISFIT_KCAL_PER_MOL_A
        if misfit and not self.warned_of_misfit:
            self.write(
                f"{self.name}  WARNING forces on its own data are off by {force:.1f} kcal/mol/Å: "
                f"{MISFIT_REMEDY}"
            )
        self.warned_of_misfit = misfit


def together(*hearers: Callable[[Told], None]) -> Callable[[Told], None]:
    """One that tells each of them, in order."""

    def tell(what: Told) -> None:
        for hear in hearers:
            hear(what)

    return tell


def log_to(file: Path) -> Callable[[str], None]:
    """A writer of lines to the screen and, with the time of day, to a file."""

    def write(line: str) -> None:
        print(line, flush=True)
        with suppress(OSError), file.open("a", encoding="utf-8") as log:  # commits are what counts
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")

    return write


def _asked(decision: Decision) -> str:
    if decision.reason is Reason.FIRST_FRAME:
        return "labelling the first frame"
    if decision.reason is Reason.INITIAL:
        return ""  # one line for all of them
    probability = f"P(|error| < K) = {decision.probability:.3f}"
    if decision.reason is Reason.AUDIT:
        return f"step {decision.step}: audit of a trusted frame, {probability}"
    if decision.reason is Reason.WITHDRAWN:
        return f"step {decision.step}: {probability} by now, the label is called off"
    if decision.reason is Reason.CERTAIN:
        return f"step {decision.step}: {probability}: trusted from the start"
    if decision.reason is Reason.GUARD:
        return f"step {decision.step}: labelling the last calm frame of MD that went astray"
    if decision.reason is Reason.UNCERTAIN_FORCES and decision.force is not None:
        std, limit = (to_kcal_per_mol(part) for part in (decision.force.std, decision.force.limit))
        return (
            f"step {decision.step}: force of atom {decision.force.atom}, std {std:.3f} of "
            f"{limit:.3f} kcal/mol/Å: asking for a label"
        )
    sigma = to_kcal_per_mol(decision.energy_std)
    return f"step {decision.step}: {probability}, sigma {sigma:.3f} kcal/mol: asking for a label"


def _updated(event: Updated) -> str:
    energy, force = _mean_of(event, "energy_rmse"), _mean_of(event, "force_rmse")
    kinetic, acceptance = _mean_of(event, "kinetic_temperature"), _mean_of(event, "acceptance")
    accepted = f", acceptance {acceptance:.2f}" if math.isfinite(acceptance) else ""
    seconds = max(result.seconds for result in event.results)
    return (
        f"ensemble v{event.ensemble.version} took {seconds:.0f} s: on its data energy RMSE "
        f"{to_kcal_per_mol(energy):.3f} kcal/mol, forces "
        f"{to_kcal_per_mol(force):.2f} kcal/mol/Å; kinetic temperature {kinetic:.2f}{accepted}"
    )


def _mean_of(event: Updated, figure: str) -> float:
    """Over all chains."""
    values = [value for result in event.results for value in getattr(result, figure)]
    return float(np.mean(values)) if values else math.nan


def _ratio(event: Driven) -> str:
    """The last sigma over the limit; "-" when the reference drove every step."""
    known = event.segment.energy_std[np.isfinite(event.segment.energy_std)]
    return f"{known[-1] / event.limit:.2f}" if len(known) else "-"

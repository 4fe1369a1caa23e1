"""Short real runs of water: a small random MACE, GFN2-xTB, and what has to hold after a fault."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tblite.interface import Calculator

from bnnflow.config import RunConfig
from bnnflow.data import is_run, read_run
from bnnflow.errors import FaultError, UserError
from bnnflow.records import Phase
from bnnflow.reference import read_label
from bnnflow.units import BOHR, HARTREE
from fault_study.reference import CALCULATOR, calls_of, plan
from workflows import session

TESTS = Path(__file__).parents[2] / "tests"
for room in ("workflows", "potentials", "data"):  # their tiny model, and how they compare runs
    sys.path.append(str(TESTS / room))

from tiny_mace import build  # noqa: E402
from tiny_runs import assert_same_run, settings  # noqa: E402

from bnnflow.potentials.mace_files import save_mace  # noqa: E402

GUARDS = {"shortest_distance": 0.5, "largest_force_eV_A": 50.0, "highest_temperature_K": None}
"""Those of every run by default, which the tests' settings loosen."""
RESUMES = 5
"""How often an interrupted run is gone on with before it counts as not resumed."""
SAME_ENERGY, SAME_FORCE = 1e-5, 1e-4
"""eV and eV/Å: an accepted label against GFN2-xTB calculated anew; SCFs end at about 1e-6."""


@dataclass(frozen=True)
class Tally:
    """What one try, or all of them, came to. different: not equal to the uninterrupted run to the
    bit where that is promised; promised: tries that promise it; idle: the fault found nothing to
    hit."""

    tries: int = 0
    lost: int = 0
    wrong: int = 0
    not_resumed: int = 0
    different: int = 0
    promised: int = 0
    amiss: tuple[str, ...] = ()
    idle: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(*(getattr(self, name) + getattr(other, name) for name in vars(self)))


@dataclass
class Study:
    """A folder for runs, the model, and the runs that nobody interrupted, by their settings.

    seconds: what such a run takes.
    """

    folder: Path
    clean: dict[str, Path] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = self.folder / "tiny.safetensors"
        self.armed = self.folder / "armed.json"
        plan(self.armed)
        save_mace(build("8x0e", dtype=torch.float32), self.model)

    def config(self, *, isolated: bool = False, **changes: dict[str, Any]) -> RunConfig:
        """Seven steps, with labels of the first, second and sixth frame or so.

        isolated: labels in a process of their own; changes: by section.
        """
        options = {
            "calculator": CALCULATOR,
            "arguments": {"armed": str(self.armed)},
            "level": "GFN2-xTB",
            "isolated": isolated,
        }
        reference = {"engine": "ase", "options": options, "failure_budget": 5, "free_disk_GB": 0.0}
        values: dict[str, dict[str, Any]] = {
            "dynamics": {"length_ps": 0.0035, "checkpoint_every_steps": 3},
            "reference": reference,
        }
        for section, keys in changes.items():
            values[section] = {**values.get(section, {}), **keys}
        return settings(self.model, **{"guards": GUARDS, **values})

    def uninterrupted(self, name: str, config: RunConfig) -> Path:
        """The run of a config without a fault, made once."""
        if name not in self.clean:
            plan(self.armed)
            self.clean[name] = self.folder / f"clean-{name}"
            go_on(config, self.clean[name])
        return self.clean[name]

    def usual_seconds(self, name: str, config: RunConfig) -> float:
        """What the run of a config takes where all is loaded by now; measured once."""
        if name not in self.seconds:
            began = time.monotonic()
            go_on(config, self.folder / f"again-{name}")
            self.seconds[name] = time.monotonic() - began
        return self.seconds[name]

    def calls(self) -> int:
        """How often the reference was asked since it was armed."""
        return calls_of(self.armed)

    @contextlib.contextmanager
    def try_folder(self) -> Iterator[Path]:
        """A folder for one run, removed at the end."""
        run = self.folder / "try"
        shutil.rmtree(run, ignore_errors=True)
        yield run
        shutil.rmtree(run, ignore_errors=True)

    def judge(self, run: Path, *, like: Path | None = None, **found: Any) -> Tally:
        """Look at a run that should be finished. like: the run it has to equal to the bit."""
        if not is_run(run):
            return Tally(tries=1, not_resumed=1)
        data = read_run(run)
        done = {path.parent.name for path in run.glob("labels/*/result.h5")}
        amiss = tuple(found.pop("amiss", ()))
        if not members_finite(run):
            amiss = (*amiss, "a member is not finite")
        return Tally(
            tries=1,
            lost=len(done - set(data.labels.name)) + len(set(data.labels.name) - done),
            wrong=sum(_is_wrong(run, name) for name in data.labels.name),
            not_resumed=int(data.state.phase is not Phase.DONE),
            different=int(like is not None and not same(run, like)),
            promised=int(like is not None),
            amiss=amiss,
            **found,
        )


def go_on(config: RunConfig, folder: Path) -> None:
    """Start a run, or resume it; what it says is not shown."""
    with contextlib.redirect_stdout(io.StringIO()):
        if is_run(folder):
            session.resume([folder], inline=True)
        else:
            session.fine_tune([config], folders=[folder], inline=True)


def finish(config: RunConfig, folder: Path) -> list[str]:
    """Go on with a run until it is done, as a user would; the errors on the way."""
    errors: list[str] = []
    for _ in range(RESUMES):
        try:
            go_on(config, folder)
            break
        except (FaultError, UserError) as error:
            errors.append(str(error))
    return errors


def same(run: Path, other: Path) -> bool:
    """Whether two runs took the same steps, decisions, labels and updates, bit for bit."""
    try:
        assert_same_run(run, other)
    except AssertionError:
        return False
    return True


def members_finite(run: Path) -> bool:
    """Whether every member of every version holds finite numbers only."""
    from safetensors.torch import load_file

    files = run.glob("ensemble/*/chain-*.safetensors")
    return all(bool(torch.isfinite(load_file(str(path))["values"]).all()) for path in files)


def _is_wrong(run: Path, name: str) -> bool:
    """Whether a label is not what GFN2-xTB says of its structure."""
    label = read_label(run / "labels" / name)
    if label is None:
        return True
    truth = _gfn2(label.structure.numbers, label.structure.positions)
    energy = abs(label.energy - truth["energy"])
    force = float(np.abs(label.forces - truth["forces"]).max())
    return not (energy < SAME_ENERGY and force < SAME_FORCE)


def _gfn2(numbers: Any, positions: Any) -> Mapping[str, Any]:
    calculator = Calculator("GFN2-xTB", numbers, positions / BOHR)
    calculator.set("verbosity", 0)
    found = calculator.singlepoint()
    return {
        "energy": float(found.get("energy")) * HARTREE,
        "forces": -np.asarray(found.get("gradient")) * HARTREE / BOHR,
    }

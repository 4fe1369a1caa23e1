"""The runs whose labels are merged: found, checked to belong together, and split by material."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bnnflow.analysis.run import Run, load
from bnnflow.data import is_run
from bnnflow.data.layout import RUNS, STRUCTURES, is_campaign
from bnnflow.errors import ConfigError, RunFolderError
from bnnflow.records import Label
from bnnflow.reference import read_label
from bnnflow.training.compositions import formula

MOST_NAMED = 4
"""Runs that a message names of each kind."""


@dataclass(frozen=True, eq=False)
class Source:
    """A run and its labels, oldest first. held_out: judged with, not learned from; directories: of
    the labels."""

    run: Run
    labels: tuple[Label, ...]
    directories: tuple[str, ...]
    held_out: bool = False

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.config.material.name

    @property
    def material(self) -> str:
        """Its material's, which runs of several conditions share."""
        structure = Path(self.run.config.material.structure)
        if structure.parent.name == STRUCTURES:
            return structure.stem
        is_file = structure.suffix or len(structure.parts) > 1
        return self.name if is_file else str(structure)

    @property
    def level(self) -> str:
        """Level of theory of its labels."""
        return self.labels[0].level

    @property
    def formula(self) -> str:
        """Its composition in words."""
        return formula(self.labels[0].structure)

    def taken(self, indices: Sequence[int]) -> Source:
        """The same with some of its labels."""
        return replace(
            self,
            labels=tuple(self.labels[i] for i in indices),
            directories=tuple(self.directories[i] for i in indices),
        )


def collect(folders: Sequence[Path], hold_out: Sequence[str] = ()) -> tuple[Source, ...]:
    """The runs in run folders and campaign folders that have labels.

    hold_out: names of materials or runs whose labels are kept to judge by. Raises RunFolderError
    when a folder holds neither, or the runs do not belong together: labels of several levels of
    theory or several foundation models have no posterior in common; ConfigError for a hold-out that
    names no run, leaves none, or takes one run of a material and not another.
    """
    found = [_read(folder) for folder in _run_folders(folders)]
    sources = tuple(source for source in found if source.labels)
    if not sources:
        raise RunFolderError("no run given has a label yet: let them reach their first one")
    _refuse_several(sources, lambda s: s.level, "levels of theory")
    _refuse_several(sources, _foundation, "foundation models")
    return _split(sources, hold_out)


def thinned(sources: Sequence[Source], most: int | None) -> tuple[Source, ...]:
    """At most so many labels of the runs that are learned from, dealt evenly over runs; of each
    run, labels spaced evenly in their order, the first one among them. None: all."""
    learned = [source for source in sources if not source.held_out]
    shares = iter(_shares([len(source.labels) for source in learned], most))
    return tuple(
        source if source.held_out else source.taken(_spaced(len(source.labels), next(shares)))
        for source in sources
    )


def _run_folders(folders: Sequence[Path]) -> list[Path]:
    """Each run once, also where a campaign and one of its runs are given."""
    found: dict[Path, None] = {}
    for folder in folders:
        if is_campaign(folder):
            inside = [path for path in sorted((folder / RUNS).glob("*")) if is_run(path)]
        elif is_run(folder):
            inside = [folder]
        else:
            raise RunFolderError(f"{folder} holds no run and no campaign: check the path")
        found |= dict.fromkeys(path.resolve() for path in inside)
    return list(found)


def _read(folder: Path) -> Source:
    run = load(folder)
    directories = [folder / "labels" / name for name in run.data.state.labels]
    labels = [read_label(directory) for directory in directories]
    for label, directory in zip(labels, directories, strict=True):
        if label is None:
            raise RunFolderError(
                f"{directory} holds no finished label, expected result.h5: restore it from a copy"
            )
    kept = tuple(label for label in labels if label is not None)
    return Source(run, kept, tuple(str(directory) for directory in directories))


def _foundation(source: Source) -> str:
    potential = source.run.config.potential
    return f"{potential.model} (sha256 {potential.checksum[:12]}, {potential.dtype})"


def _refuse_several(sources: Sequence[Source], key: Callable[[Source], str], what: str) -> None:
    kinds: dict[str, list[str]] = {}
    for source in sources:
        kinds.setdefault(key(source), []).append(source.name)
    if len(kinds) > 1:
        told = "; ".join(f"{kind}: {_some(names)}" for kind, names in kinds.items())
        raise RunFolderError(
            f"the runs have {len(kinds)} {what}, expected one ({told}): name the folders of the "
            "runs of one"
        )


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _split(sources: tuple[Source, ...], hold_out: Sequence[str]) -> tuple[Source, ...]:
    names = {name for source in sources for name in (source.name, source.material)}
    unknown = sorted(set(hold_out) - names)
    if unknown:
        raise ConfigError(
            f"no run with labels is called {unknown[0]}, expected to hold out some of "
            f"{', '.join(sorted({source.material for source in sources}))}"
        )
    kept_out = {s.name for s in sources if {s.name, s.material} & set(hold_out)}
    split = tuple(replace(source, held_out=source.name in kept_out) for source in sources)
    if all(source.held_out for source in split):
        raise ConfigError("every run is held out: leave some to learn from")
    halved = {s.material for s in split if s.held_out} & {
        s.material for s in split if not s.held_out
    }
    if halved:
        raise ConfigError(
            f"some runs of {min(halved)} are held out and others are not: hold out the material"
        )
    return split


def _shares(counts: Sequence[int], most: int | None) -> list[int]:
    """How many labels of each run; what a short run leaves goes to the others."""
    left = sum(counts) if most is None else most
    if left < len(counts):
        raise ConfigError(
            f"at most {left} labels are wanted of {len(counts)} runs, expected one of each"
        )
    shares = [0] * len(counts)
    order = sorted(range(len(counts)), key=counts.__getitem__)
    for place, run in enumerate(order):
        shares[run] = min(counts[run], left // (len(order) - place))
        left -= shares[run]
    return shares


def _spaced(count: int, wanted: int) -> list[int]:
    return [int(i) for i in np.linspace(0, count - 1, wanted).round()]

"""Candidates for the initial data: MD with the foundation model, rattled copies, strained cells.

A frame near the limits of the guards of MD is left out: a model that gives such forces says little
of where the frame lies, and reference codes fail on atoms that are too close.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from bnnflow.md import Predict, propagate, start
from bnnflow.md.guard import ask
from bnnflow.md.limits import CALM, ExplodedError, Limits, worst
from bnnflow.md.noise import generator_for
from bnnflow.records import (
    Explored,
    ExploreRequest,
    FloatArray,
    Source,
    SourceKind,
    Structure,
)


def explore(request: ExploreRequest, predict: Predict) -> Explored:
    """The candidates of one source that are worth a label, each a function of its seed.

    predict: the foundation model. Raises StructureError and ConfigError as `md.start` does.
    """
    began = time.perf_counter()
    made = _MAKERS[request.source.kind](request, predict)
    limits = Limits.of(request.guards, request.dynamics, len(request.structure))
    reasons = [_reason_against(frame, predict, limits) for frame in made]
    kept = tuple(frame for frame, reason in zip(made, reasons, strict=True) if not reason)
    lost = request.source.n_frames - len(kept)  # MD that a guard stopped made fewer
    return Explored(
        frames=kept,
        left_out=lost,
        why=next(filter(None, reasons), "MD was stopped by a guard") if lost else "",
        seconds=time.perf_counter() - began,
        host=socket.gethostname(),
    )


def rattled(structure: Structure, source: Source) -> list[Structure]:
    """Copies with normal displacements of the std `source.rattle`, Å, by coordinate."""
    random = generator_for(source.seed)
    return [_moved(structure, source.rattle, random) for _ in range(source.n_frames)]


def strained(structure: Structure, source: Source) -> list[Structure]:
    """Copies in strained cells, rattled as well: on sites of symmetry no strain makes a force.

    The i-th of n has a symmetric strain of random direction whose largest principal strain has the
    size `source.strain` (i + 1)/n. Directions that are not periodic are not strained.
    """
    random = generator_for(source.seed)
    within = _periodic(structure)
    sizes = source.strain * (np.arange(source.n_frames) + 1) / max(1, source.n_frames)
    copies = [_deformed(structure, size * _strain(within, random)) for size in sizes]
    return [_moved(copy, source.rattle, random) for copy in copies]


def _trajectory(request: ExploreRequest, predict: Predict) -> list[Structure]:
    """Evenly spaced frames of MD with the foundation model, up to where a guard stops it."""
    source = request.source
    checkpoint = start(request.structure, dynamics=request.dynamics, seed=source.seed)
    frames = []
    for n_steps in _stretches(source.n_steps, source.n_frames):
        segment = propagate(
            predict=predict,
            checkpoint=checkpoint,
            dynamics=request.dynamics,
            n_steps=n_steps,
            limit=math.inf,
            guards=request.guards,
        )
        if segment.trip is not None:
            break
        checkpoint = segment.checkpoint
        frames.append(checkpoint.structure)
    return frames


def _stretches(n_steps: int, n_frames: int) -> Iterator[int]:
    """Steps from one frame to the next, which are `n_steps` together."""
    ends = [round(n_steps * (frame + 1) / n_frames) for frame in range(n_frames)]
    yield from np.diff([0, *ends]).tolist()


def _reason_against(frame: Structure, predict: Predict, limits: Limits) -> str:
    """Why a frame is not worth a label; "" for one that is."""
    try:
        near = limits.positions(frame)
        strains = (near, limits.forces(frame, ask(predict, frame)))
    except ExplodedError as stop:
        return str(stop)
    if worst(strains) <= CALM:
        return ""
    return f"a guard's quantity is at {worst(strains):.0%} of its limit, expected {CALM:.0%}"


def _moved(structure: Structure, std: float, random: np.random.Generator) -> Structure:
    moves = std * random.standard_normal(structure.positions.shape)
    return replace(structure, positions=structure.positions + moves)


def _deformed(structure: Structure, strain: FloatArray) -> Structure:
    """Cell and atoms under a symmetric strain (3, 3)."""
    stretch = np.eye(3) + strain
    return replace(
        structure, cell=structure.cell @ stretch, positions=structure.positions @ stretch
    )


def _strain(within: FloatArray, random: np.random.Generator) -> FloatArray:
    """A random symmetric strain (3, 3) in some directions whose largest principal strain is 1."""
    drawn = random.standard_normal((3, 3))
    strain = within @ (drawn + drawn.T) @ within
    return np.asarray(strain / np.linalg.norm(strain, ord=2))


def _periodic(structure: Structure) -> FloatArray:
    """(3, 3) projection onto the space that the periodic cell vectors span."""
    vectors = structure.cell[structure.pbc]
    return np.asarray(np.linalg.pinv(vectors) @ vectors)


_MAKERS: Mapping[SourceKind, Callable[[ExploreRequest, Predict], list[Structure]]] = {
    SourceKind.MD: _trajectory,
    SourceKind.RATTLED: lambda request, _: rattled(request.structure, request.source),
    SourceKind.STRAINED: lambda request, _: strained(request.structure, request.source),
}

"""Jumps of a mobile species, such as protons, between atoms of a host species.

A mobile atom belongs to a host. When another host becomes the nearest, the atom has jumped once it
has stayed with it for the dwell time or, when a margin is given, as soon as the new host is closer
than the old one by that margin. The jump is dated at the crossing: the first frame of the stretch
in which the new host is the nearest. An excursion that does neither, and a jump that is undone
within the dwell time, are no events (recrossings of the bottleneck are counted once or not at all).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnnflow.analysis.motion.periodic import distances
from bnnflow.analysis.motion.trajectory import Motion
from bnnflow.errors import ConfigError, StructureError
from bnnflow.records import FloatArray, IntArray

DWELL_FS = 30.0
"""Stay that makes a crossing a jump, fs: two to three periods of an O-H or S-H stretching mode."""


@dataclass(frozen=True)
class Jump:
    """Atom `atom` went from host `origin` to host `target` (all atom indices) at `time` fs.

    frame: the first in which the target was the nearest host.
    """

    frame: int
    time: float
    atom: int
    origin: int
    target: int


@dataclass(frozen=True, eq=False)
class Hopping:
    """Jumps of a species in the order of time, and the host of each mobile atom at all times.

    mobile: (a,), hosts: (h,) atom indices, rising; owner: (m, a) positions in `hosts`; lengths:
    (m, a, h) Å, shortest distances; timestep: fs.
    """

    jumps: tuple[Jump, ...]
    mobile: IntArray
    hosts: IntArray
    owner: IntArray
    lengths: FloatArray
    timestep: float

    @property
    def atom_time(self) -> float:
        """Time that the mobile atoms were watched for, all added up, fs."""
        return self.owner.size * self.timestep


def jump_events(
    motion: Motion,
    mobile: str,
    host: str,
    *,
    dwell_fs: float = DWELL_FS,
    margin: float | None = None,
    bound: float | None = None,
) -> Hopping:
    """Find the jumps of an element between atoms of another.

    dwell_fs: stay that makes a crossing a jump; margin: Å by which the new host has to be closer
    for a jump at once, None to go by the dwell time alone; bound: Å, take only the atoms that are
    that close to a host in the first frame (None: all), such as hydroxyl and not methyl protons.
    Raises ConfigError when one is negative, StructureError when there are not two hosts or nothing
    is bound.
    """
    if dwell_fs < 0.0 or (margin is not None and margin < 0.0):
        raise ConfigError(f"dwell {dwell_fs:g} fs, margin {margin} Å: expected neither below 0")
    atoms, hosts = motion.atoms_of(mobile), motion.atoms_of(host)
    if len(hosts) < 2 or np.isin(atoms, hosts).any():
        raise StructureError(
            f"{mobile} cannot jump between {len(hosts)} {host} atoms: expected another element "
            "with two atoms or more"
        )
    if bound is not None:
        atoms = _bound(motion, atoms, hosts, bound)
    lengths = distances(motion, atoms, hosts)
    stay = dwell_fs / motion.timestep
    found = [_crossings(lengths[:, index], stay, margin) for index in range(len(atoms))]
    jumps = [
        Jump(frame, float(motion.times[frame]), int(atom), int(hosts[before]), int(hosts[after]))
        for atom, crossings in zip(atoms, found, strict=True)
        for frame, before, after in crossings
    ]
    jumps.sort(key=lambda jump: (jump.frame, jump.atom))
    first = lengths[0].argmin(axis=1)
    owners = [_owner(len(motion), *known) for known in zip(first, found, strict=True)]
    return Hopping(tuple(jumps), atoms, hosts, np.stack(owners, axis=1), lengths, motion.timestep)


def _bound(motion: Motion, atoms: IntArray, hosts: IntArray, bound: float) -> IntArray:
    lengths = distances(motion.rows(slice(0, 2)), atoms, hosts)[0]
    near = atoms[lengths.min(axis=1) <= bound]
    if not len(near):
        raise StructureError(
            f"the nearest host is {lengths.min():.2f} Å away, expected {bound:g} Å or less: allow "
            "longer bonds"
        )
    return np.asarray(near)


def _crossings(
    lengths: FloatArray, stay: float, margin: float | None
) -> list[tuple[int, int, int]]:
    """(frame, host before, host after) of one atom's jumps. lengths: (m, h); stay: frames."""
    nearest = lengths.argmin(axis=1)
    starts = np.flatnonzero(np.diff(nearest, prepend=-1))
    stops = np.append(starts[1:], len(nearest))
    owner = int(nearest[0])
    found: list[tuple[int, int, int]] = []
    for start, stop in zip(starts, stops, strict=True):
        host = int(nearest[start])
        if host == owner:
            continue
        closer = lengths[start:stop, owner] - lengths[start:stop, host]
        if stop - start >= stay or (margin is not None and closer.max() >= margin):
            _add(found, (int(start), owner, host), stay)
            owner = host
    return found


def _add(found: list[tuple[int, int, int]], jump: tuple[int, int, int], stay: float) -> None:
    """Append a jump, unless it undoes the last one within the dwell time: then both are none."""
    frame, origin, target = jump
    if found and found[-1][1:] == (target, origin) and frame - found[-1][0] < stay:
        found.pop()
    else:
        found.append(jump)


def _owner(m: int, first: int, crossings: list[tuple[int, int, int]]) -> IntArray:
    """(m,) host of one atom in every frame."""
    frames = [0, *(frame for frame, _, _ in crossings), m]
    hosts = [first, *(after for _, _, after in crossings)]
    return np.repeat(np.array(hosts), np.diff(frames))

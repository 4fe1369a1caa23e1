"""Which conformer a molecule is in, when it changes, and whether labels gather there [METHOD 7].

A torsion about a threefold bond has the basins gauche+ (about 60 degrees), trans (180) and
gauche- (-60). Angles are in degrees in (-180, 180], positive clockwise looking along the bond.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase import Atoms
from ase.neighborlist import natural_cutoffs, neighbor_list
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NAMES: dict[int, str] = {1: "gauche+", 0: "trans", -1: "gauche-"}
"""Conformer codes and their names."""
CENTRES: dict[int, float] = {1: 60.0, 0: 180.0, -1: -60.0}
"""Middle of each basin, in degrees."""
CORE = 30.0
"""Half width of the core of a basin, in degrees: inside it a molecule has arrived."""
BOND_FACTOR = 1.25
"""Atoms closer than this times the sum of their covalent radii are bonded."""
HYDROGEN, OXYGEN = 1, 8


@dataclass(frozen=True)
class Transition:
    """A passage between two basins: frames first..last, from leaving one core to the next core."""

    first: int
    last: int
    before: int
    after: int


@dataclass(frozen=True)
class Enrichment:
    """Labels inside transitions against the share of time spent there.

    p_value: probability of at least as many labels inside, were they spread evenly over time.
    """

    labels_inside: int
    labels: int
    time_share: float
    p_value: float

    @property
    def label_share(self) -> float:
        """Share of the labels that lie inside transitions; NaN without labels."""
        return self.labels_inside / self.labels if self.labels else float("nan")


def bonds(atoms: Atoms) -> tuple[tuple[int, int], ...]:
    """Pairs (i, j), i < j, of atoms close enough to be bonded, sorted."""
    first, second = neighbor_list("ij", atoms, natural_cutoffs(atoms, mult=BOND_FACTOR))
    return tuple(sorted({(int(i), int(j)) for i, j in zip(first, second, strict=True) if i < j}))


def torsion(atoms: Atoms) -> tuple[int, int, int, int] | None:
    """Atoms (i, j, k, l) of the torsion that tells conformers apart; None when there is none.

    The bond j-k joins two heavy atoms outside rings, and each end has one heaviest substituent
    (so a methyl group, whose three hydrogens are alike, does not count). A hydroxyl comes first,
    then the order of the atoms: in ethanol this is H-O-C-C.
    """
    pairs = bonds(atoms)
    found = []
    for pair in pairs:
        if not _is_rotatable(atoms, pairs, pair):
            continue
        for j, k in (pair, pair[::-1]):
            i, last = _substituent(atoms, pairs, j, k), _substituent(atoms, pairs, k, j)
            if i is not None and last is not None:
                found.append((not _is_hydroxyl(atoms, i, j), (i, j, k, last)))
    return min(found)[1] if found else None


def dihedral_series(positions: ArrayLike, quartet: tuple[int, int, int, int]) -> FloatArray:
    """Torsion of four atoms, in degrees, over frames.

    positions: (m, n_atoms, 3); returns (m,) in (-180, 180]. No periodic images are sought: MD
    keeps a molecule in one piece.
    """
    i, j, k, last = (np.asarray(positions, dtype=np.float64)[:, atom] for atom in quartet)
    axis = (k - j) / np.linalg.norm(k - j, axis=1, keepdims=True)
    first, second = _normal_part(i - j, axis), _normal_part(last - k, axis)
    sine = np.einsum("mx,mx->m", np.cross(axis, first), second)
    cosine = np.einsum("mx,mx->m", first, second)
    return np.asarray(np.degrees(np.arctan2(sine, cosine)))


def conformers(angles: ArrayLike) -> IntArray:
    """Basin of each angle (degrees): 1 gauche+ (0..120), 0 trans, -1 gauche- (-120..0)."""
    wrapped = _wrap(np.asarray(angles, dtype=np.float64))
    gauche = np.where(wrapped >= 0.0, 1, -1)
    return np.where(np.abs(wrapped) <= 120.0, gauche, 0).astype(np.int64)


def transitions(angles: ArrayLike, *, core: float = CORE) -> tuple[Transition, ...]:
    """Passages from the core of one basin to that of another.

    A passage starts at the first frame outside the old core and ends at the first frame inside
    the new one; an excursion that falls back is none. core: half width of a core, degrees.
    """
    cores = _cores(np.asarray(angles, dtype=np.float64), core)
    inside = [(frame, code) for frame, code in enumerate(cores) if code is not None]
    return tuple(
        Transition(start + 1, stop, before, after)
        for (start, before), (stop, after) in pairwise(inside)
        if before != after
    )


def in_transition(
    passages: tuple[Transition, ...], n_frames: int, *, padding: int = 0
) -> NDArray[np.bool_]:
    """Whether each of n_frames lies inside a passage, widened by `padding` frames each side."""
    inside = np.zeros(n_frames, dtype=bool)
    for passage in passages:
        inside[max(0, passage.first - padding) : passage.last + 1 + padding] = True
    return inside


def enrichment(inside: NDArray[np.bool_], label_frames: ArrayLike) -> Enrichment:
    """Compare the labels' share inside transitions with the share of time spent there.

    inside: (m,) whether a frame is inside; label_frames: indices of labelled frames. One-sided
    exact binomial test [R26, as in METHOD 7]; NaN when there are no labels or no transitions.
    """
    frames = np.asarray(label_frames, dtype=np.int64)
    time_share = float(inside.mean()) if inside.size else float("nan")
    hits = int(inside[frames].sum()) if frames.size else 0
    if frames.size == 0 or not time_share > 0.0:
        return Enrichment(hits, len(frames), time_share, float("nan"))
    test = stats.binomtest(hits, len(frames), time_share, alternative="greater")
    return Enrichment(hits, len(frames), time_share, float(test.pvalue))


def _is_rotatable(atoms: Atoms, pairs: tuple[tuple[int, int], ...], bond: tuple[int, int]) -> bool:
    """Heavy at both ends, and the only way between them (not in a ring)."""
    if min(atoms.numbers[list(bond)]) == HYDROGEN:
        return False
    others = np.array([pair for pair in pairs if pair != bond], dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(others)), (others[:, 0], others[:, 1])), (len(atoms),) * 2)
    _, part = connected_components(graph, directed=False)
    return bool(part[bond[0]] != part[bond[1]])


def _substituent(
    atoms: Atoms, pairs: tuple[tuple[int, int], ...], atom: int, partner: int
) -> int | None:
    """The single heaviest neighbour of `atom` other than `partner`, if one stands out."""
    joined = [pair for pair in pairs if atom in pair and partner not in pair]
    neighbours = sorted((sum(pair) - atom for pair in joined), key=lambda n: -atoms.numbers[n])
    if not neighbours:
        return None
    heaviest = [n for n in neighbours if atoms.numbers[n] == atoms.numbers[neighbours[0]]]
    return heaviest[0] if len(heaviest) == 1 else None


def _is_hydroxyl(atoms: Atoms, first: int, second: int) -> bool:
    return bool(atoms.numbers[first] == HYDROGEN and atoms.numbers[second] == OXYGEN)


def _normal_part(vectors: FloatArray, axis: FloatArray) -> FloatArray:
    along = np.einsum("mx,mx->m", vectors, axis)[:, None]
    return np.asarray(vectors - along * axis)


def _wrap(angles: FloatArray) -> FloatArray:
    return np.asarray(-((180.0 - angles) % 360.0 - 180.0))


def _cores(angles: FloatArray, core: float) -> list[int | None]:
    offsets = {code: np.abs(_wrap(angles - centre)) for code, centre in CENTRES.items()}
    return [
        next((code for code in CENTRES if offsets[code][frame] <= core), None)
        for frame in range(len(angles))
    ]

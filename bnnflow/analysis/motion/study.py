"""What is asked of a trajectory: which species, and how they are looked at."""

from __future__ import annotations

from dataclasses import dataclass

from ase.data import atomic_numbers

from bnnflow.analysis.motion.averages import BLOCKS
from bnnflow.analysis.motion.jahn_teller import SITES
from bnnflow.analysis.motion.jumps import DWELL_FS
from bnnflow.analysis.motion.label_rate import WINDOW_FS
from bnnflow.analysis.motion.msd import BLOCKS as MSD_BLOCKS
from bnnflow.analysis.motion.radial import REACH
from bnnflow.analysis.motion.trajectory import EVERYTHING
from bnnflow.errors import ConfigError


@dataclass(frozen=True)
class Bond:
    """The `count` nearest `neighbour` atoms round each `centre` atom."""

    centre: str
    neighbour: str
    count: int


@dataclass(frozen=True)
class Angle:
    """Angle A-B-C at B; cutoff: Å, longest distance from B."""

    triple: tuple[str, str, str]
    cutoff: float


@dataclass(frozen=True)
class Study:
    """Analyses of one trajectory, none by default.

    bonds, msd (species), jumps (mobile, host), rdf (pairs), adf, vdos (species): what to look at;
    blocks: parts for error bars of averages; msd_blocks: for that of D; fit_fs: lags of its fit
    (None: 10 to 50 % of a block); dwell_fs, margin, bound: what a jump is (`jump_events`);
    window_fs: round a jump for labels, and before it for distances; reach: largest r of g(r), Å;
    lag_fs: longest lag of the velocity autocorrelation (None: 1 ps or half the trajectory).
    """

    bonds: tuple[Bond, ...] = ()
    msd: tuple[str, ...] = ()
    jumps: tuple[tuple[str, str], ...] = ()
    rdf: tuple[tuple[str, str], ...] = ()
    adf: tuple[Angle, ...] = ()
    vdos: tuple[str, ...] = ()
    blocks: int = BLOCKS
    msd_blocks: int = MSD_BLOCKS
    fit_fs: tuple[float, float] | None = None
    dwell_fs: float = DWELL_FS
    margin: float | None = None
    bound: float | None = None
    window_fs: float = WINDOW_FS
    reach: float = REACH
    lag_fs: float | None = None

    def __post_init__(self) -> None:
        asked = (self.bonds, self.msd, self.jumps, self.rdf, self.adf, self.vdos)
        if not any(asked):
            raise ConfigError(
                "nothing to analyse: ask for --bonds, --msd, --jumps, --rdf, --adf or --vdos"
            )
        names: list[tuple[str, ...]] = [(bond.centre, bond.neighbour) for bond in self.bonds]
        names += [angle.triple for angle in self.adf]
        if len(set(names)) < len(names):
            raise ConfigError("the same bonds or angles are asked for twice: ask for them once")


def parse_bonds(text: str) -> Bond:
    """ "Mn-O:6", or "Mn-O" for six neighbours. Raises ConfigError, as all of these do."""
    pair, _, number = text.partition(":")
    centre, neighbour = _species(text, pair, "-", 2, "Mn-O or Mn-O:6")
    count = _positive(text, number or str(SITES), "Mn-O:6, with a whole number of neighbours")
    if count != int(count):
        raise ConfigError(f"{text!r} asks for {count:g} neighbours: write a whole number")
    return Bond(centre, neighbour, int(count))


def parse_angle(text: str) -> Angle:
    """ "O-Mn-O:2.6", the last number the cutoff in Å."""
    triple, _, number = text.partition(":")
    example = "O-Mn-O:2.6, with a cutoff in Å"
    first, vertex, last = _species(text, triple, "-", 3, example)
    return Angle((first, vertex, last), _positive(text, number, example))


def parse_jump(text: str) -> tuple[str, str]:
    """ "H:S", the mobile element and its hosts."""
    mobile, host = _species(text, text, ":", 2, "H:S, the mobile element and its host")
    return mobile, host


def parse_pair(text: str) -> tuple[str, str]:
    """ "Mn-O", a pair of elements."""
    first, second = _species(text, text, "-", 2, "Mn-O")
    return first, second


def parse_species(text: str) -> str:
    """ "H", or "all"."""
    return _species(text, text, "-", 1, "an element such as H, or all")[0]


def _species(text: str, part: str, mark: str, count: int, example: str) -> list[str]:
    names = part.split(mark)
    known = all(name in atomic_numbers or name == EVERYTHING for name in names)
    if len(names) != count or not known:
        raise ConfigError(f"{text!r} is not understood: write {example}")
    return names


def _positive(text: str, number: str, example: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise ConfigError(f"{text!r} is not understood: write {example}")
    return value

"""When planned runs are labelled: as often as one more material like those that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

PRIOR_RUNS, PRIOR_SPREAD = 3.0, 0.4
"""Materials of one kind have label counts alike to within a factor of exp(0.4); how many measured
materials that is worth."""
FARTHEST = float(np.log(4.0))
"""No run is planned to ask more than four times as often as the measured ones do, or less than a
quarter as often."""
SHORTEST = 0.2
"""Runs that came less far than this share of the longest say too little, for labels come early;
unless they have more labels by then than most of those that came farther, and `SEVERAL`."""
SEVERAL = 5


@dataclass(frozen=True)
class LabelHistory:
    """When MD of one run was labelled: times, fs, of so many fs; without the frame it began with,
    which is labelled anyway, and without initial data.

    material: whose run it is; relative: a planned run of any length has as many labels, at the same
    shares of its length.
    """

    times_fs: tuple[float, ...]
    length_fs: float
    material: str = ""
    relative: bool = False

    def stretched(self, length_fs: float, random: np.random.Generator) -> LabelHistory:
        """A run of another length: cut off, or gone on with at the rate of the second half, as a
        Poisson process.
        """
        if self.relative:
            scale = length_fs / self.length_fs
            return replace(
                self, times_fs=tuple(time * scale for time in self.times_fs), length_fs=length_fs
            )
        kept = [time for time in self.times_fs if time < length_fs]
        extra = max(0.0, length_fs - self.length_fs)
        more = self.length_fs + extra * random.random(random.poisson(self._late_rate * extra))
        return replace(self, times_fs=tuple(sorted([*kept, *more])), length_fs=length_fs)

    def expected(self, length_fs: float) -> float:
        """How many labels a run of another length has on average."""
        kept = sum(time < length_fs for time in self.times_fs)
        return kept + self._late_rate * max(0.0, length_fs - self.length_fs)

    def with_count(self, count: int) -> LabelHistory:
        """So many labels, spread over the run as these are; evenly, if there are none."""
        known = [0.0, *self.times_fs, self.length_fs]
        places = np.linspace(0.0, len(known) - 1, count + 1, endpoint=False)[1:]
        times = np.interp(places, np.arange(len(known)), known)
        return replace(self, times_fs=tuple(times.tolist()))

    @property
    def _late_rate(self) -> float:
        """Labels per fs in the second half."""
        late = sum(time >= self.length_fs / 2 for time in self.times_fs)
        return late / (self.length_fs / 2)


def telling(histories: Sequence[LabelHistory]) -> list[LabelHistory]:
    """Those that say how often a run asks; raises ValueError when there is none at all.

    A run may be short because it has only begun, or because it asks at nearly every step and was
    left at its limit: without the latter the hardest materials would be forgotten.
    """
    longest = max(each.length_fs for each in histories)
    long = [each for each in histories if each.length_fs >= SHORTEST * longest]
    usual = np.median([len(each.times_fs) for each in long])
    return [
        each
        for each in histories
        if each.length_fs >= SHORTEST * longest or len(each.times_fs) >= max(SEVERAL, usual + 1)
    ]


class LabelTimes:
    """Label times of the runs of one play of a campaign.

    Logarithms of materials' label counts are taken to be normal with mean and variance unknown, the
    latter with a scaled inverse chi-squared prior worth `PRIOR_RUNS` materials (Gelman et al.,
    Bayesian Data Analysis, 3rd ed., 3.2-3.3). A play draws mean and variance once, for they are the
    same for all of its materials, and then the count of each. What was given by hand is taken as it
    is.

    histories: of the measured runs, one at least; random: of this play.
    """

    def __init__(self, histories: Sequence[LabelHistory], random: np.random.Generator) -> None:
        self._histories = telling(histories)
        self._random = random
        materials = len({each.material for each in self._histories})
        self._off_mean = random.standard_normal()
        self._chi_squared = random.chisquare(PRIOR_RUNS + materials - 1)
        self._of_material: dict[str, float] = {}
        self._known: dict[float, tuple[int, float, float]] = {}

    def steps(self, material: str, n_steps: int, timestep_fs: float) -> list[int]:
        """MD steps at which a run of some material is labelled, the one it begins with first.

        n_steps: of the run, of `timestep_fs` fs each.
        """
        length = n_steps * timestep_fs
        history = self._histories[int(self._random.integers(len(self._histories)))]
        history = history.stretched(length, self._random)
        if not history.relative:
            history = history.with_count(self._count(material, length))
        return _one_each([0, *(round(time / timestep_fs) for time in history.times_fs)], n_steps)

    def _count(self, material: str, length_fs: float) -> int:
        n, mean, squares = self._moments(length_fs)
        spread = np.sqrt((PRIOR_RUNS * PRIOR_SPREAD**2 + squares) / self._chi_squared)
        own = self._of_material.setdefault(material, self._random.standard_normal())
        off = np.clip(spread * (self._off_mean / np.sqrt(n) + own), -FARTHEST, FARTHEST)
        return max(0, round(float(np.exp(mean + off)) - 0.5))

    def _moments(self, length_fs: float) -> tuple[int, float, float]:
        """Of the logarithms of the counts of the measured materials in runs of some length, + 1/2
        for they may be 0: how many, their mean, and the sum of squares about it.
        """
        if length_fs not in self._known:
            counts: dict[str, list[float]] = {}
            for each in self._histories:
                counts.setdefault(each.material, []).append(each.expected(length_fs))
            logs = np.log([np.mean(each) + 0.5 for each in counts.values()])
            squares = float(np.sum((logs - logs.mean()) ** 2))
            self._known[length_fs] = len(logs), float(logs.mean()), squares
        return self._known[length_fs]


def _one_each(steps: Sequence[int], n_steps: int) -> list[int]:
    """No more than one label a step, none after the last: the next free step."""
    found: list[int] = []
    for step in steps:
        free = max(step, found[-1] + 1) if found else step
        if free <= n_steps:
            found.append(free)
    return found

"""What runs cost so far, and what is to be expected until they are done.

So far: seconds of tasks times the cores that a task has in its pool, as the sessions of the run
noted them; where they changed from one session to the next, their mean over its time. Labels and
updates with the seconds that the tasks themselves report (failed ones included), MD with the
coordinator's, its wait for a worker included. What a block idles is not in it.

To go: the MD time left, at the run's own rates: seconds of MD per ps over all of it, labels per ps
over the last quarter of the MD time so far, the mean seconds of its labels, the seconds of its last
update. A run that has no such rate yet takes the mean of those that have one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnnflow.analysis.campaign.spans import IN_POOL, Spans
from bnnflow.data import Gist
from bnnflow.records import FloatArray, Phase, PoolSize, Reason, Session

LAST_PIECE = 0.25
"""Share of the MD time so far over which the present label rate is taken."""
UNKNOWN = PoolSize(workers=0, cores=1)
"""Stands for a pool of a run that noted no session: hours are then those of workers."""
POOLS = tuple(IN_POOL)


@dataclass(frozen=True)
class Usage:
    """What was, or will be, used of one pool. seconds: of tasks; hours: of cores and devices."""

    seconds: float = 0.0
    core_hours: float = 0.0
    accelerator_hours: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.seconds + other.seconds,
            self.core_hours + other.core_hours,
            self.accelerator_hours + other.accelerator_hours,
        )


@dataclass(frozen=True)
class Rates:
    """At which a run goes on; None where it has none yet.

    md_s_per_ps: seconds of MD; labels_per_ps; label_s: of one label; update_s: of one update,
    summed over its tasks; chain_s: until its last task has ended.
    """

    md_s_per_ps: float | None
    labels_per_ps: float | None
    label_s: float | None
    update_s: float | None
    chain_s: float | None


@dataclass(frozen=True)
class ToGo:
    """What one run still needs. wall_s: if none of its tasks ever waits, s."""

    labels: float
    wall_s: float
    usage: Mapping[str, Usage]


def usage(seconds: float, size: PoolSize) -> Usage:
    """Seconds of tasks of one size."""
    hours = seconds / 3600.0
    return Usage(seconds, hours * size.cores, hours * size.accelerators)


def task_seconds(gist: Gist, spans: Spans) -> dict[str, float]:
    """Seconds of tasks by pool, s."""
    failed = dict.fromkeys(("label", "sample"), 0.0)
    for name, spent in zip(gist.failed, gist.failed_seconds, strict=True):
        failed[name] = failed.get(name, 0.0) + float(spent)
    return {
        "md": spans.seconds(*IN_POOL["md"]),
        "dft": float(gist.label_seconds.sum()) + failed["label"],
        "gpu": float(gist.update_seconds.sum()) + failed["sample"],
    }


def mean_sizes(spans: Spans, sessions: Sequence[Session]) -> dict[str, PoolSize]:
    """What a task of each pool had, on average over the time that was spent there."""
    if not sessions:
        return dict.fromkeys(POOLS, UNKNOWN)
    begins = np.array([session.start_s for session in sessions])
    return {
        pool: _mean_size(spans.of(*kinds), begins, sessions, pool)
        for pool, kinds in IN_POOL.items()
    }


def rates(gist: Gist, spans: Spans, *, time_ps: float) -> Rates:
    """The rates of one run. time_ps: MD time taken."""
    updates = spans.of("update")
    lengths = updates.end - updates.start
    return Rates(
        md_s_per_ps=spans.seconds("md") / time_ps if time_ps else None,
        labels_per_ps=label_rate(asked_times_ps(gist), time_ps, LAST_PIECE),
        label_s=float(gist.label_seconds.mean()) if len(gist.label_seconds) else None,
        update_s=float(gist.update_seconds[-1]) if len(gist.update_seconds) else None,
        chain_s=float(lengths[-1]) if len(lengths) else None,
    )


def asked_times_ps(gist: Gist) -> FloatArray:
    """MD times of the labels that MD asked for: not the first frame's, nor initial data."""
    initial = np.array(gist.label_reason, dtype=str) == Reason.INITIAL.value
    return np.asarray(gist.label_time_fs[1:][~initial[1:]] / 1000.0)


def label_rate(asked_ps: FloatArray, time_ps: float, piece: float = 1.0) -> float | None:
    """Labels per ps of MD over the last piece of it, of those that MD asked for; None before MD."""
    if not time_ps:
        return None
    begin = (1.0 - piece) * time_ps
    return float(np.count_nonzero(asked_ps >= begin) / (piece * time_ps))


def labels_before_md(gist: Gist, n_initial: int) -> tuple[int, int]:
    """Labels still to be made before MD begins: of the first frame, and of initial data.

    n_initial: of the config; so many that fail or are not found are counted until MD begins.
    """
    if not len(gist.label_step):
        return 1, n_initial
    begun = gist.phase not in (Phase.EXPLORE, Phase.INITIAL)
    return 0, 0 if begun else max(0, n_initial + 1 - gist.n_requests)


def mean_rates(many: Sequence[Rates]) -> Rates:
    """The mean of each rate over the runs that have one."""
    names = ("md_s_per_ps", "labels_per_ps", "label_s", "update_s", "chain_s")
    known = {name: [v for r in many if (v := getattr(r, name)) is not None] for name in names}
    return Rates(**{name: float(np.mean(v)) if v else None for name, v in known.items()})


def filled(own: Rates, mean: Rates) -> Rates:
    """A run's own rates, the mean ones where it has none."""
    lacking = {name: getattr(mean, name) for name, value in vars(own).items() if value is None}
    return replace(own, **lacking)


def to_go(
    left_ps: float, before: tuple[int, int], rate: Rates, sizes: Mapping[str, PoolSize]
) -> ToGo | None:
    """What is needed for `left_ps` more of MD; None when a rate is not known of any run.

    before: labels before MD, see `labels_before_md`; initial data are labelled at once, and share
    the first frame's update.
    """
    if any(value is None for value in vars(rate).values()):
        return None
    first, initial = before
    alone = first + (rate.labels_per_ps or 0.0) * left_ps
    together = 1 if initial else 0
    updates = alone if first else alone + together
    md, label_s = (rate.md_s_per_ps or 0.0) * left_ps, rate.label_s or 0.0
    seconds = {
        "md": md,
        "dft": (alone + initial) * label_s,
        "gpu": updates * (rate.update_s or 0.0),
    }
    used = {pool: usage(spent, sizes[pool]) for pool, spent in seconds.items()}
    wall_s = md + (alone + together) * label_s + updates * (rate.chain_s or 0.0)
    return ToGo(alone + initial, wall_s, used)


def _mean_size(
    spans: Spans, begins: FloatArray, sessions: Sequence[Session], pool: str
) -> PoolSize:
    which = np.maximum(np.searchsorted(begins, spans.start, side="right") - 1, 0)
    weights = np.bincount(which, (spans.end - spans.start) * spans.tasks, len(sessions))
    if not weights.sum():
        weights[-1] = 1.0
    sizes = [session.pools.get(pool, UNKNOWN) for session in sessions]
    return PoolSize(
        workers=sizes[-1].workers,
        cores=float(np.average([size.cores for size in sizes], weights=weights)),
        accelerators=float(np.average([size.accelerators for size in sizes], weights=weights)),
    )

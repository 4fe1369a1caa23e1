"""Looks at many runs again and again; reads anew only those that have changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bnnflow.analysis.campaign.costs import (
    POOLS,
    Rates,
    ToGo,
    Usage,
    filled,
    labels_before_md,
    mean_rates,
    mean_sizes,
    rates,
    task_seconds,
    to_go,
    usage,
)
from bnnflow.analysis.campaign.folders import (
    LeftOut,
    Place,
    find_runs,
    find_shared,
    left_out,
)
from bnnflow.analysis.campaign.rows import STATES, RunRow, run_row, state_of
from bnnflow.analysis.campaign.spans import (
    IN_POOL,
    Clock,
    Occupancy,
    Spans,
    joined,
    occupancy,
    spans_of,
)
from bnnflow.config import RunConfig, config_from_yaml
from bnnflow.data import Gist, is_driven, is_run, read_sessions
from bnnflow.data.gist import glance, signature, whole_gist
from bnnflow.data.layout import CAMPAIGN_FILE
from bnnflow.records import Phase, PoolSize

Mark = tuple[int, int] | None


@dataclass(frozen=True, eq=False)
class Seen:
    """What was read of one run, with what told that it had not changed since.

    used, left: so far, and until it is done (without the rates of others); sizes: by pool.
    """

    mark: Mark
    row: RunRow
    gist: Gist
    config: RunConfig
    spans: Spans
    sizes: Mapping[str, PoolSize]
    used: Mapping[str, Usage]
    rate: Rates


@dataclass(frozen=True, eq=False)
class CampaignStatus:
    """All runs at one moment. seen: those that could be read; rows: all, in the order given;
    shared: what samples ensembles that several of them share, which has no row.
    """

    rows: tuple[RunRow, ...]
    seen: tuple[Seen, ...]
    shared: tuple[Seen, ...] = ()

    @cached_property
    def spans(self) -> Spans:
        """Of all runs together."""
        return joined([each.spans for each in (*self.seen, *self.shared)])

    @cached_property
    def clock(self) -> Clock:
        """Wall time in which a run was driven."""
        return Clock(self.spans)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Runs in each state that one is in."""
        found = [row.state for row in self.rows]
        return {state: found.count(state) for state in STATES if state in found}

    @cached_property
    def used(self) -> dict[str, Usage]:
        """By pool, so far."""
        every = (*self.seen, *self.shared)
        return {pool: sum((s.used[pool] for s in every), Usage()) for pool in POOLS}

    @cached_property
    def remaining(self) -> tuple[ToGo, ...]:
        """What each run still needs that can be estimated."""
        mean = mean_rates([each.rate for each in (*self.seen, *self.shared)])
        found = [_to_go(each, mean) for each in self.seen if each.gist.phase is not Phase.DONE]
        return tuple(each for each in found if each is not None)

    @property
    def not_estimated(self) -> int:
        """Runs that are not done and for which nothing is known to go by."""
        open_rows = [row for row in self.rows if row.state not in ("done", "set aside")]
        return len(open_rows) - len(self.remaining)

    @cached_property
    def needed(self) -> dict[str, Usage]:
        """By pool, to go."""
        return {pool: sum((r.usage[pool] for r in self.remaining), Usage()) for pool in POOLS}

    @cached_property
    def workers(self) -> dict[str, int]:
        """Of each pool, the most that a last session of a run noted; 0: not known."""
        return {pool: max((s.sizes[pool].workers for s in self.seen), default=0) for pool in POOLS}

    @cached_property
    def occupancies(self) -> dict[str, Occupancy]:
        """How full each pool was."""
        return {
            pool: occupancy(self.spans.of(*kinds), self.clock) for pool, kinds in IN_POOL.items()
        }

    @property
    def least_wall_s(self) -> float | None:
        """Wall time to go if nothing ever waits: of the longest run, or of the fullest pool, s."""
        if not self.remaining:
            return None
        pools = [
            self.needed[pool].seconds / self.workers[pool] for pool in POOLS if self.workers[pool]
        ]
        return max([each.wall_s for each in self.remaining] + pools)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "runs": [row.as_dict() for row in self.rows],
            "states": self.counts,
            "labels": sum(row.labels for row in self.rows),
            "md_time_ps": sum(row.md_time_ps for row in self.rows),
            "wall_s": self.clock.total,
            "pools": {pool: self._pool(pool) for pool in POOLS},
            "to_go": {
                "labels": sum(each.labels for each in self.remaining),
                "least_wall_s": self.least_wall_s,
                "runs_not_estimated": self.not_estimated,
            },
        }

    def _pool(self, pool: str) -> dict[str, Any]:
        full = self.occupancies[pool]
        shares = {str(k): spent / full.total for k, spent in full.seconds.items() if full.total}
        return {
            "workers": self.workers[pool] or None,
            "used": asdict(self.used[pool]),
            "to_go": asdict(self.needed[pool]),
            "mean_tasks": full.mean,
            "share_of_wall_time_with_k_tasks": shares,
        }


class Watcher:
    """The runs of some folders. reads: how many run files were read so far."""

    def __init__(self, folders: Sequence[Path]) -> None:
        find_runs(folders)  # says what is wrong with a folder at once
        self._folders = folders
        self._seen: dict[Path, Seen] = {}
        self._left_out: dict[Path, tuple[Mark, tuple[LeftOut, ...]]] = {}
        self.reads = 0

    def look(self) -> CampaignStatus:
        """Where the runs stand now."""
        rows = [self._row(place) for place in find_runs(self._folders)]
        seen = [each for row in rows if (each := self._seen.get(Path(row.folder))) is not None]
        aside = [row for folder in self._folders for row in self._aside(folder)]
        return CampaignStatus((*rows, *aside), tuple(seen), self._shared())

    def _shared(self) -> tuple[Seen, ...]:
        places = find_shared(self._folders)
        for place in places:
            self._row(place)
        return tuple(found for p in places if (found := self._seen.get(p.folder)) is not None)

    def _row(self, place: Place) -> RunRow:
        mark = signature(place.folder)
        if mark is None and not is_run(place.folder):
            return RunRow(place.name, str(place.folder))
        try:
            seen = self._seen.get(place.folder)
            if seen is None or seen.mark != mark or mark is None:
                seen = self._read(place, mark, seen)
            elif seen.row.state != "done":
                state, reason = state_of(place.folder, seen.gist)
                seen = replace(seen, row=replace(seen.row, state=state, reason=reason))
        except Exception as error:  # one folder hides no other
            self._seen.pop(place.folder, None)
            return RunRow(place.name, str(place.folder), state="unreadable", reason=str(error))
        self._seen[place.folder] = seen
        return seen.row

    def _read(self, place: Place, mark: Mark, before: Seen | None) -> Seen:
        folder, gist = place.folder, glance(place.folder)
        if gist is None and before is not None and is_driven(folder):
            return before  # a commit is being written: at the next look
        self.reads += 1
        gist = whole_gist(folder) if gist is None else gist
        config = before.config if before else _config(folder, gist)  # it never changes
        sessions = read_sessions(folder)
        spans = spans_of(gist.timing, update_tasks=sessions[-1].update_tasks if sessions else 1)
        row = run_row(place.name, folder, gist, config, spans, state_of(folder, gist))
        sizes, spent = mean_sizes(spans, sessions), task_seconds(gist, spans)
        if config.run.shared_ensemble == ".":
            spent["dft"] = 0.0  # its labels are its walkers'
        used = {pool: usage(spent[pool], sizes[pool]) for pool in POOLS}
        rate = rates(gist, spans, time_ps=row.md_time_ps)
        return Seen(mark, row, gist, config, spans, sizes, used, rate)

    def _aside(self, folder: Path) -> list[RunRow]:
        file = folder / CAMPAIGN_FILE
        mark = (file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else None
        if self._left_out.get(folder, (None, ()))[0] != mark:
            self._left_out[folder] = (mark, left_out(folder))
        found = self._left_out.get(folder, (None, ()))[1]
        return [RunRow(each.name, "", state="set aside", reason=each.reason) for each in found]


def _config(folder: Path, gist: Gist) -> RunConfig:
    return config_from_yaml(gist.config_text, source=f"{folder}/config.yaml")


def _to_go(seen: Seen, mean: Rates) -> ToGo | None:
    left_ps = max(0.0, (seen.row.md_length_ps or 0.0) - seen.row.md_time_ps)
    before = labels_before_md(seen.gist, seen.config.initial.labels)
    return to_go(left_ps, before, filled(seen.rate, mean), seen.sizes)

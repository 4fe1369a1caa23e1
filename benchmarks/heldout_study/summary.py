"""All runs in a folder as one table: figures over seeds by method and number of labels."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from heldout_study.bootstrap import Change, changes, pooled_change
from heldout_study.figures import figures, frame_mean_squares
from heldout_study.updates import SETTINGS_FILE, load_predictions, record_path

Record = dict[str, Any]
Rows = dict[tuple[str, int], list[Record]]


@dataclass(frozen=True)
class Updates:
    """The updates of a sequential method from at least one label, over all seeds.

    pooled: mean change of held-out force RMSE; single: of those with one new label, None when
    there are none; worse: how many are significantly worse by themselves; beaten: rows N >= 1 whose
    force RMSE is not below the foundation model's.
    """

    count: int
    pooled: Change
    single: Change | None
    worse: int
    beaten: int


def read_runs(runs: Path) -> list[Record]:
    """Every finished update, its figures recomputed from the predictions."""
    records = []
    for path in sorted(runs.glob(f"*/{SETTINGS_FILE}")):
        folder = path.parent
        counts = sorted(int(p.stem) for p in folder.glob("*.json") if p.stem.isdigit())
        for count in counts:
            record = json.loads(record_path(folder, count).read_text())
            found = load_predictions(folder, count)
            record |= {"figures": figures(found), "squares": frame_mean_squares(found)}
            records.append(record)
    return records


def rows(records: Sequence[Record]) -> Rows:
    """Records of all seeds by method and N; the foundation model is a method, seen once."""
    found: Rows = defaultdict(list)
    seeds: set[int] = set()
    for record in records:
        if record["n"]:
            found[record["method"], record["n"]].append(record)
        elif record["seed"] not in seeds:
            seeds.add(record["seed"])
            found["foundation", 0].append(record)
    return dict(sorted(found.items(), key=lambda item: (item[0][1], item[0][0])))


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean over seeds and its standard error, NaN for one seed."""
    spread = np.std(values, ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return float(np.mean(values)), float(spread)


def figure(found: Sequence[Record], name: str) -> tuple[float, float]:
    """Mean and standard error of one figure over the seeds; NaN where it is not defined."""
    return mean_and_error([record["figures"].get(name, math.nan) for record in found])


def updates(records: Sequence[Record]) -> dict[str, Updates]:
    """How the updates of every sequential method changed held-out forces."""
    ordered = sorted(records, key=lambda record: record["method"])
    found = {
        method: _updates_of(list(group))
        for method, group in groupby(ordered, key=lambda record: record["method"])
    }
    return {method: result for method, result in found.items() if result is not None}


def _updates_of(records: Sequence[Record]) -> Updates | None:
    at = {(record["seed"], record["n"]): record for record in records}
    later = [record for record in records if record["previous"]]
    if not later:
        return None
    after = np.stack([record["squares"] for record in later])
    before = np.stack([at[record["seed"], record["previous"]]["squares"] for record in later])
    single = np.array([record["n"] - record["previous"] == 1 for record in later])
    return Updates(
        count=len(later),
        pooled=pooled_change(before, after),
        single=pooled_change(before[single], after[single]) if single.any() else None,
        worse=sum(change.worse for change in changes(before, after)),
        beaten=_beaten(at),
    )


def _beaten(at: Mapping[tuple[int, int], Record]) -> int:
    def rmse(record: Record) -> float:
        return float(record["figures"]["force_rmse"])

    return sum(rmse(record) >= rmse(at[seed, 0]) for (seed, n), record in at.items() if n)


def as_json(records: Sequence[Record]) -> str:
    """One JSON object: gains over the foundation model, AUC; everything else in `settings`."""
    table = rows(records)
    gains: dict[str, float] = {}
    for (method, n), found in table.items():
        if n:
            named = _gains(found, table["foundation", 0])
            gains |= {f"{method}/{n}/{name}": value for name, value in named.items()}
    settings = {
        "rows": [_plain(key, found) for key, found in table.items()],
        "updates": {name: asdict(found) for name, found in updates(records).items()},
    }
    return json.dumps({"benchmark": "heldout", "figures": gains, "settings": settings})


def _gains(found: Sequence[Record], foundation: Sequence[Record]) -> dict[str, float]:
    """Foundation over method RMSE, and AUC: means over seeds, what is defined of them."""
    base = {record["seed"]: record["figures"] for record in foundation}

    def gain(name: str) -> float:
        return float(np.mean([base[r["seed"]][name] / r["figures"][name] for r in found]))

    values = {
        "force": gain("force_rmse"),
        "energy": gain("energy_rmse_centred"),
        "force_auc": figure(found, "force_auc")[0],
    }
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _plain(key: tuple[str, int], found: Sequence[Record]) -> dict[str, Any]:
    names = sorted(found[0]["figures"])
    values = {name: [_finite(v) for v in figure(found, name)] for name in names}
    costs = [
        {k: record.get(k) for k in ("seed", "gradients_per_member", "cpu_seconds", "wall_seconds")}
        for record in found
    ]
    return {"method": key[0], "n": key[1], "figures": values, "costs": costs}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

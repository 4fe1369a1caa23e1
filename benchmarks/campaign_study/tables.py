"""The figures of the benchmark, and its tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bnnflow.analysis.run import load
from bnnflow.analysis.status import status
from bnnflow.data.layout import is_campaign
from campaign_study.gain import STARTS
from campaign_study.levels import Level
from campaign_study.runs import run_folders, validation_of
from campaign_study.transfer import transfer
from workflows.console import columns

FORCES, ENERGY = "force_rmse_kcal_per_mol_A", "energy_rmse_centred_kcal_per_mol"


def campaign_rows(campaign: Path) -> dict[str, dict[str, Any]]:
    """What each run of a campaign came to, by name; errors once it is validated."""
    return {name: _row(folder) for name, folder in run_folders(campaign).items()}


def _row(folder: Path) -> dict[str, Any]:
    run, found, judged = load(folder), status(folder), validation_of(folder)
    row = {
        "level": run.data.labels.level[0],
        "atoms": run.n_atoms,
        "done": found["phase"] == "done",
        "labels": found["labels"],
        "md_ps": found["md_time_ps"],
        "above_K": [found["above_threshold"][key] for key in ("count", "total")],
        "seconds": found["seconds"],
    }
    if judged is not None:
        row["frames"] = judged["frames"]
        for model in ("foundation", "fine_tuned"):
            above = judged[model]["above_threshold"]
            row[model] = {
                "forces": judged[model][FORCES],
                "energy": judged[model][ENERGY],
                "above_K": [above["count"], above["total"]],
            }
    return row


def transfer_rows(
    campaign: Path, merged: Mapping[str, Path], levels: Iterable[Level]
) -> dict[str, Any]:
    """Errors of models that never saw a molecule, by its run's name."""
    folders = run_folders(campaign)
    return {
        name: transfer(folders[name], merged[level.name])
        for level in levels
        for name in level.held_out
        if name in folders and validation_of(folders[name]) is not None
    }


def start_rows(work: Path, levels: Iterable[Level]) -> dict[str, dict[str, Any]]:
    """Runs of the held-out molecules by start: the foundation model, then merged models."""
    campaigns = {"foundation": work / "campaign"}
    campaigns |= {start: work / f"from-merged-{start}" for start in STARTS}
    names = [name for level in levels for name in level.held_out]
    rows = {s: campaign_rows(folder) for s, folder in campaigns.items() if is_campaign(folder)}
    return {
        name: {start: found[name] for start, found in rows.items() if name in found}
        for name in names
    }


def tables(found: Mapping[str, Any]) -> str:
    """All three as text."""
    parts = [
        ("Runs: errors before / after fine-tuning, on random frames of each run", _runs(found)),
        ("Held-out molecules: errors of potentials on random frames of their runs", _held(found)),
        ("Held-out molecules run from each start", _starts(found)),
        ("", [("E: energy RMSE, mean error removed, kcal/mol; F: force RMSE, kcal/mol/Å",)]),
    ]
    return "\n\n".join(f"{head}\n{columns(rows)}".strip() for head, rows in parts if rows)


def _runs(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    head = ("run", "level", "atoms", "ps", "labels", "above K", "F before", "after", "E before",
            "after", "above K before", "after")  # fmt: skip
    return [head, *(_run_line(name, row) for name, row in found["runs"].items())]


def _run_line(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    level = row["level"].partition(" (")[0].partition(",")[0]
    start = (name, level, str(row["atoms"]), f"{row['md_ps']:g}" + ("" if row["done"] else "*"))
    counts = (str(row["labels"]), _share(row["above_K"]))
    models = [row.get(model) for model in ("foundation", "fine_tuned")]
    errors = [_number(model, key) for key in ("forces", "energy") for model in models]
    return (*start, *counts, *errors, *(_share(m["above_K"]) if m else "-" for m in models))


def _held(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    if not found["held_out"]:
        return []
    kinds = list(next(iter(found["held_out"].values())))
    head = ("run", *(f"F {kind}" for kind in kinds), *(f"E {kind}" for kind in kinds))
    rows = [
        (name, *(_number(each[kind], key) for key in ("forces", "energy") for kind in kinds))
        for name, each in found["held_out"].items()
    ]
    return [head, *rows]


def _starts(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    head = ("run", "start", "ps", "labels", "above K", "F after", "E after", "above K after")
    rows = []
    for name, starts in found["starts"].items():
        for start, row in starts.items():
            told = START_NAMES[start]
            tuned = row.get("fine_tuned")
            judged = (_number(tuned, "forces"), _number(tuned, "energy"))
            above = _share(tuned["above_K"]) if tuned else "-"
            counts = (f"{row['md_ps']:g}", str(row["labels"]), _share(row["above_K"]))
            rows.append((name, told, *counts, *judged, above))
    return [head, *rows] if rows else []


START_NAMES = {
    "foundation": "foundation",
    "expected": "merged, prior as wide as held-out errors",
    "usual": "merged, prior of the usual width",
}


def ratios(found: Mapping[str, Any]) -> dict[str, float]:
    """Errors and labels of the foundation start over those of the merged one: higher is better."""
    figures = {}
    for name, each in found["held_out"].items():
        for key in ("forces", "energy"):
            ratio = each["foundation"][key] / each["merged model"][key]
            figures[f"{name} {key}, foundation over merged"] = ratio
    for start in STARTS:
        pairs = [
            (starts["foundation"]["labels"], starts[start]["labels"])
            for starts in found["starts"].values()
            if start in starts and "foundation" in starts
        ]
        if pairs:
            old, new = (sum(values) for values in zip(*pairs, strict=True))
            figures[f"labels, foundation over merged ({start})"] = old / new
    return figures


def _share(pair: list[int]) -> str:
    return f"{pair[0]}/{pair[1]}"


def _number(model: Mapping[str, float] | None, key: str) -> str:
    return f"{model[key]:.2f}" if model else "-"

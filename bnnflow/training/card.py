"""The model card of the shipped model: one JSON file for machines, one Markdown file for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bnnflow.training.assess import Errors, Stability
from bnnflow.training.frames import Plan
from bnnflow.training.molecules import HELD_OUT, TRAINING
from bnnflow.training.pretrain import ARCHITECTURE, NAME, Schedule

__all__ = ["COMMAND", "facts", "markdown", "write_card"]

COMMAND = "python -m workflows.pretrain_foundation --work foundation-work --out bnnflow/foundation"
LIBRARIES = ("mace-torch", "torch", "e3nn", "tblite", "ase", "pyscf")


def facts(
    weights: Path,
    plan: Plan,
    schedule: Schedule,
    counts: Mapping[str, int],
    errors: Mapping[str, Errors],
    stability: Stability,
) -> dict[str, Any]:
    """Return the card as plain data.

    counts: number of frames by split; errors: by test, such as `ethanol against GFN2-xTB`.
    """
    return {
        "name": NAME,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "bytes": weights.stat().st_size,
        "elements": ["H", "C", "N", "O"],
        "level": "GFN2-xTB",
        "architecture": dict(ARCHITECTURE),
        "frames": asdict(plan) | {"counts": dict(counts)},
        "training": asdict(schedule),
        "molecules": [recipe.name for recipe in TRAINING],
        "held_out": [recipe.name for recipe in HELD_OUT],
        "errors_kcal_per_mol": {name: asdict(value) for name, value in errors.items()},
        "stability": asdict(stability),
        "seeds": {"frames": plan.seed, "training": schedule.seed},
        "versions": {library: version(library) for library in LIBRARIES},
        "command": COMMAND,
    }


def write_card(weights: Path, card: Mapping[str, Any]) -> None:
    """Write the card beside the weights, as `.json` and `.md`."""
    weights.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")
    weights.with_suffix(".md").write_text(markdown(card))


def markdown(card: Mapping[str, Any]) -> str:
    """Return the card as a page to read."""
    parts = (_what, _data, _training, _errors, _stability, _limits, _rebuild)
    return f"# {card['name']}\n\n" + "\n\n".join(part(card) for part in parts) + "\n"


def _what(card: Mapping[str, Any]) -> str:
    return (
        f"A small MACE for {', '.join(card['elements'])}, pre-trained on {card['level']}: a cheap "
        "starting point for fine-tuning and for tests, not a potential to publish results with.\n\n"
        f"- Weights: `{card['name']}.safetensors`, float32, {card['bytes'] / 1000:.0f} kB\n"
        f"- sha256: `{card['sha256']}`\n"
        f"- Figures for machines: `{card['name']}.json`"
    )


def _data(card: Mapping[str, Any]) -> str:
    plan, counts = card["frames"], card["frames"]["counts"]
    temperatures = ", ".join(f"{t:g}" for t in plan["temperatures_k"])
    return (
        "## Data\n\n"
        f"Langevin MD with {card['level']} (tblite) of {len(card['molecules'])} molecules and "
        f"pairs of molecules at {temperatures} K, a frame every {plan['spacing_fs']:g} fs; frames "
        "in which a bond broke or a partner left are dropped. Alcohols give "
        f"{plan['alcohol_factor']} times as many frames. {counts['training']} frames for training, "
        f"{counts['validation']} for validation.\n\n"
        f"Trained on: {', '.join(card['molecules'])}.\n\n"
        f"Held out: {', '.join(card['held_out'])}; and ethanol, which is in neither set."
    )


def _training(card: Mapping[str, Any]) -> str:
    shape, training = card["architecture"], card["training"]
    return (
        "## Training\n\n"
        f"mace-torch's own trainer: {shape['model']}, {shape['num_interactions']} layers, "
        f"hidden {shape['hidden_irreps']}, l up to {shape['max_ell']}, correlation "
        f"{shape['correlation']}, cut-off {shape['r_max']} Å. {training['epochs']} epochs, batch "
        f"{training['batch_size']}, Adam (AMSGrad), averaged weights; the last "
        f"quarter with a constant rate of {training['second_rate']:g} and energy weight "
        f"{training['second_energy_weight']:g}. "
        "Atomic reference energies: least squares over the training set.\n\n"
        f"Seeds: frames {card['seeds']['frames']}, training {card['seeds']['training']}. "
        f"Versions: {', '.join(f'{k} {v}' for k, v in card['versions'].items())}."
    )


def _errors(card: Mapping[str, Any]) -> str:
    head = (
        "## Errors\n\n"
        "Frames at 300 K. Energies in kcal/mol, the mean error of each molecule removed; force "
        "components in kcal/mol/Å.\n\n"
        "| Test | Frames | Energy RMSE | Energy MAE | Force RMSE | Force MAE |\n"
        "|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(_row(*item) for item in card["errors_kcal_per_mol"].items())


def _row(name: str, error: Mapping[str, float]) -> str:
    columns = ("energy_rmse", "energy_mae", "force_rmse", "force_mae")
    return f"| {name} | {error['frames']} | {' | '.join(f'{error[c]:.2f}' for c in columns)} |"


def _stability(card: Mapping[str, Any]) -> str:
    run = card["stability"]
    return (
        f"## MD by itself\n\n{run['length_ps']:g} ps of ethanol, Langevin (0.5 fs, 0.01/fs) at "
        f"300 K: mean temperature {run['mean_temperature_k']:.0f} K; all bonds between "
        f"{run['shortest_bond']:.2f} and {run['longest_bond']:.2f} times their relaxed length."
    )


def _limits(_: Mapping[str, Any]) -> str:
    return (
        "## Limits\n\nNeutral closed-shell molecules near their equilibrium, up to 14 atoms; no "
        "reactions, ions, radicals or condensed phase. It inherits the errors of GFN2-xTB: the "
        "table's B3LYP line says how large they are for ethanol."
    )


def _rebuild(card: Mapping[str, Any]) -> str:
    return (
        f"## Rebuild\n\n```\n{card['command']}\n```\n\n"
        "About half an hour on one core. Rounding differs between processors and library versions: "
        "expect these errors elsewhere, not the same checksum."
    )

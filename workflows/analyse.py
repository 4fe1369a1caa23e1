"""`bnnflow analyse`: what moved in a run, a production run or a trajectory file.

    bnnflow analyse runs/lamno3 --bonds Mn-O --to-ps 25
    bnnflow analyse runs/cazrs3 --msd H --jumps H:S --from-ps 7.5 --into runs/cazrs3

Parsing and printing only; the work is in `bnnflow.analysis.motion`. Imports inside the functions
keep `--help` fast.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workflows.console import print_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bnnflow.analysis.motion import Study

Many = list[str] | None


def analyse(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Run folders, folders of production MD, files that ASE reads."),
    ],
    bonds: Annotated[
        Many, typer.Option(help="Bond lengths: Mn-O:6, centre, neighbour, how many.")
    ] = None,
    msd: Annotated[
        Many, typer.Option(help="Mean squared displacement of an element, or of all.")
    ] = None,
    jumps: Annotated[Many, typer.Option(help="Jumps: H:S, mobile element and its hosts.")] = None,
    rdf: Annotated[Many, typer.Option(help="Radial distribution function: Mn-O.")] = None,
    adf: Annotated[
        Many, typer.Option(help="Angles: O-Mn-O:2.6, the vertex amid, cutoff in Å.")
    ] = None,
    vdos: Annotated[
        Many, typer.Option(help="Vibrational density of states of an element, or of all.")
    ] = None,
    timestep_fs: Annotated[
        float | None, typer.Option(help="Time between two frames of a file.")
    ] = None,
    from_ps: Annotated[float, typer.Option(min=0.0, help="MD time to begin at.")] = 0.0,
    to_ps: Annotated[float, typer.Option(min=0.0, help="MD time to end at.")] = float("inf"),
    every: Annotated[int, typer.Option(min=1, help="Take each n-th frame.")] = 1,
    blocks: Annotated[
        int, typer.Option(min=2, help="Parts of the trajectory for error bars.")
    ] = 10,
    msd_blocks: Annotated[int, typer.Option(min=2, help="The same for diffusion.")] = 5,
    fit_ps: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Lags that D is fitted to; default: 10 to 50 % of a block."),
    ] = None,
    dwell_fs: Annotated[
        float, typer.Option(min=0.0, help="Stay with a new host that makes a jump.")
    ] = 30.0,
    margin_A: Annotated[
        float | None,
        typer.Option(
            "--margin-A", min=0.0, help="Also a jump: the new host is closer by this much."
        ),
    ] = None,
    window_fs: Annotated[
        float, typer.Option(min=0.0, help="Round a jump for labels, before it for distances.")
    ] = 15.0,
    reach_A: Annotated[float, typer.Option("--reach-A", help="Largest r of g(r).")] = 6.0,
    lag_fs: Annotated[
        float | None, typer.Option(help="Longest lag of the velocity autocorrelation.")
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="Run folder whose report is to show what is found.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Bond lengths, diffusion, jumps and the labels round them, g(r), angles, vibrations.

    The options --bonds, --msd, --jumps, --rdf, --adf and --vdos say what to look at; each may be
    given several times, and at least one has to be.
    """
    from bnnflow.analysis.motion import analyse as carry_out
    from bnnflow.analysis.motion import figures_of, read_source, table_of

    study = _study(
        bonds=bonds, msd=msd, jumps=jumps, rdf=rdf, adf=adf, vdos=vdos, blocks=blocks,
        msd_blocks=msd_blocks, fit_ps=fit_ps, dwell_fs=dwell_fs, margin=margin_A,
        window_fs=window_fs, reach=reach_A, lag_fs=lag_fs,
    )  # fmt: skip
    if into is not None:
        _require_run(into)
    found = [
        carry_out(
            read_source(
                source, timestep_fs=timestep_fs, first_ps=from_ps, last_ps=to_ps, every=every
            ),
            study,
        )
        for source in sources
    ]
    figures = figures_of(found)
    if into is not None:
        _keep(into, figures)
    if as_json:
        print_json(figures)
    else:
        print(table_of(found))


def _study(*, fit_ps: tuple[float, float] | None, **asked: Any) -> Study:
    from bnnflow.analysis.motion import Study, study

    parsers = {
        "bonds": study.parse_bonds,
        "msd": study.parse_species,
        "jumps": study.parse_jump,
        "rdf": study.parse_pair,
        "adf": study.parse_angle,
        "vdos": study.parse_species,
    }
    parsed: dict[str, Any] = {
        name: tuple(dict.fromkeys(parse(text) for text in asked.pop(name) or ()))
        for name, parse in parsers.items()
    }
    fit_fs = None if fit_ps is None else (1000.0 * fit_ps[0], 1000.0 * fit_ps[1])
    return Study(fit_fs=fit_fs, **parsed, **asked)


def _require_run(folder: Path) -> None:
    from bnnflow.data import is_run
    from bnnflow.errors import RunFolderError

    if not is_run(folder):
        raise RunFolderError(f"{folder} holds no run, expected a run folder: check --into")


def _keep(folder: Path, figures: Mapping[str, Any]) -> None:
    """Leave the figures where the report finds them."""
    from bnnflow.analysis.motion.results import ANALYSIS_FILE
    from bnnflow.codec import publish

    temporary = folder / f".{ANALYSIS_FILE}.tmp"
    temporary.write_text(json.dumps(figures, allow_nan=False) + "\n", encoding="utf-8")
    publish(temporary, folder / ANALYSIS_FILE)

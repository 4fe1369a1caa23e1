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

    from bnnflow.analysis.motion import Analysed, Study

Many = list[str] | None
Sources = Annotated[
    list[Path], typer.Argument(help="Run folders, folders of production MD, files that ASE reads.")
]
Bonds = Annotated[Many, typer.Option(help="Bond lengths: Mn-O:6, centre, neighbour, how many.")]
Msd = Annotated[Many, typer.Option(help="Mean squared displacement of an element, or of all.")]
Jumps = Annotated[Many, typer.Option(help="Jumps: H:S, mobile element and its hosts.")]
Rdf = Annotated[Many, typer.Option(help="Radial distribution function: Mn-O.")]
Adf = Annotated[Many, typer.Option(help="Angles: O-Mn-O:2.6, vertex in the middle, cutoff in Å.")]
Vdos = Annotated[Many, typer.Option(help="Vibrational density of states of an element, or of all.")]
Timestep = Annotated[float | None, typer.Option(help="Time between two frames of a file.")]
From = Annotated[float, typer.Option(min=0.0, help="MD time to begin at.")]
To = Annotated[float, typer.Option(min=0.0, help="MD time to end at.")]
Every = Annotated[int, typer.Option(min=1, help="Take each n-th frame.")]
Blocks = Annotated[int, typer.Option(min=2, help="Parts of the trajectory for error bars.")]
MsdBlocks = Annotated[int, typer.Option(min=2, help="The same for diffusion.")]
Fit = Annotated[
    tuple[float, float] | None,
    typer.Option(help="Lags that D is fitted to; default: 10 to 50 % of a block."),
]
Dwell = Annotated[float, typer.Option(min=0.0, help="Stay with a new host that makes a jump.")]
Margin = Annotated[
    float | None,
    typer.Option("--margin-A", min=0.0, help="Also a jump: the new host is closer by this much."),
]
Bound = Annotated[
    float | None,
    typer.Option("--bound-A", min=0.0, help="Only atoms this close to a host in the first frame."),
]
Window = Annotated[
    float, typer.Option(min=0.0, help="Round a jump for labels, before it for distances.")
]
Reach = Annotated[float, typer.Option("--reach-A", help="Largest r of g(r).")]
Lag = Annotated[float | None, typer.Option(help="Longest lag of the velocity autocorrelation.")]
Into = Annotated[
    Path | None, typer.Option(help="Run folder whose report is to show what is found.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def analyse(
    sources: Sources,
    bonds: Bonds = None,
    msd: Msd = None,
    jumps: Jumps = None,
    rdf: Rdf = None,
    adf: Adf = None,
    vdos: Vdos = None,
    timestep_fs: Timestep = None,
    from_ps: From = 0.0,
    to_ps: To = float("inf"),
    every: Every = 1,
    blocks: Blocks = 10,
    msd_blocks: MsdBlocks = 5,
    fit_ps: Fit = None,
    dwell_fs: Dwell = 30.0,
    margin_A: Margin = None,
    bound_A: Bound = None,
    window_fs: Window = 15.0,
    reach_A: Reach = 6.0,
    lag_fs: Lag = None,
    into: Into = None,
    as_json: Json = False,
) -> None:
    """Bond lengths, diffusion, jumps and the labels round them, g(r), angles, vibrations.

    The options --bonds, --msd, --jumps, --rdf, --adf and --vdos say what to look at; each may be
    given several times, and at least one has to be.
    """
    study = _study(
        bonds=bonds, msd=msd, jumps=jumps, rdf=rdf, adf=adf, vdos=vdos, blocks=blocks,
        msd_blocks=msd_blocks, fit_ps=fit_ps, dwell_fs=dwell_fs, margin=margin_A,
        bound=bound_A, window_fs=window_fs, reach=reach_A, lag_fs=lag_fs,
    )  # fmt: skip
    _require_run(into)
    found = _carry_out(
        study, sources, timestep_fs=timestep_fs, first_ps=from_ps, last_ps=to_ps, every=every
    )
    _show(found, into, as_json)


def _carry_out(study: Study, sources: list[Path], **cut: Any) -> list[Analysed]:
    from bnnflow.analysis.motion import analyse as carry_out
    from bnnflow.analysis.motion import read_source

    return [carry_out(read_source(source, **cut), study) for source in sources]


def _show(found: list[Analysed], into: Path | None, as_json: bool) -> None:
    from bnnflow.analysis.motion import figures_of, table_of

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


def _require_run(folder: Path | None) -> None:
    from bnnflow.data import is_run
    from bnnflow.errors import RunFolderError

    if folder is not None and not is_run(folder):
        raise RunFolderError(f"{folder} holds no run, expected a run folder: check --into")


def _keep(folder: Path, figures: Mapping[str, Any]) -> None:
    """Leave the figures where the report finds them."""
    from bnnflow.analysis.motion.results import ANALYSIS_FILE
    from bnnflow.codec import publish

    temporary = folder / f".{ANALYSIS_FILE}.tmp"
    temporary.write_text(json.dumps(figures, allow_nan=False) + "\n", encoding="utf-8")
    publish(temporary, folder / ANALYSIS_FILE)

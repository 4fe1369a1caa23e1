"""The command line: parsing only; each command imports and calls what does the work.

Exit codes and error lines: see `console`. Imports inside the commands keep `--help` fast.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

from workflows.analyse import analyse
from workflows.console import DONE, INTERNAL, USER, guarded, say, show, stdout_for_figures
from workflows.deadline import session_deadline
from workflows.endings import campaign_ended, finish
from workflows.plan_command import plan_campaign
from workflows.submit import submit

app = typer.Typer(
    name="bnnflow",
    help="Fine-tune a foundation potential on the fly, with a known error bar.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
site_app = typer.Typer(help="Where work runs: list and check site configs.", rich_markup_mode=None)
model_app = typer.Typer(help="Foundation models: list and describe.", rich_markup_mode=None)
app.add_typer(site_app, name="site")
app.add_typer(model_app, name="model")

ConfigName = Annotated[str, typer.Argument(help="Config file, or a shipped one: ethanol, ...")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as run.seed=2.")
]
Folder = Annotated[Path, typer.Argument(help="Run folder.")]
Folders = Annotated[list[Path], typer.Argument(help="Run folders.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Inline = Annotated[bool, typer.Option("--inline", help="Work in this process, without Parsl.")]
Site = Annotated[str | None, typer.Option(help="Site config, by name or path.")]
StopAfter = Annotated[
    str | None,
    typer.Option(help="Time that there is, 23h30m: begin nothing that cannot end in it."),
]
Notice = Annotated[str, typer.Option(help="Time that is left when SIGUSR1 comes.")]
NOTICE = "10m"


def main() -> None:
    """Console script `bnnflow`: run the command line and exit with its code."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    sys.exit(guarded(lambda: app(prog_name="bnnflow", standalone_mode=False)))


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from bnnflow import __version__

        print(f"bnnflow {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
def run(
    config: ConfigName,
    overrides: Overrides = None,
    folder: Annotated[Path | None, typer.Option(help="Run folder; default: runs/NAME.")] = None,
    site: Site = None,
    inline: Inline = False,
    stop_after: StopAfter = None,
    notice: Notice = NOTICE,
    as_json: Json = False,
) -> int:
    """Fine-tune on the fly while running MD, and write a run folder and a report."""
    from bnnflow.config import load_config
    from workflows.configs import find_config

    settings = load_config(find_config(config), overrides or ())
    target = folder or Path(settings.run.folder or Path("runs") / settings.material.name)
    with stdout_for_figures(as_json), session_deadline(stop_after, notice) as deadline:
        from workflows.session import fine_tune  # after the config: torch takes seconds to import

        fine_tune([settings], folders=[target], inline=inline, site=site, deadline=deadline)
    return finish([target], as_json, deadline)


@app.command()
def campaign(
    config: ConfigName,
    overrides: Overrides = None,
    folder: Annotated[
        Path | None, typer.Option(help="Campaign folder; default: runs/NAME.")
    ] = None,
    site: Site = None,
    inline: Inline = False,
    dry_run: Annotated[bool, typer.Option(help="List the runs; write nothing.")] = False,
    stop_after: StopAfter = None,
    notice: Notice = NOTICE,
    as_json: Json = False,
) -> int:
    """Fine-tune many materials, at many conditions, over the same pools."""
    from bnnflow.config.campaign_loading import load_campaign
    from workflows.configs import find_config

    settings = load_campaign(find_config(config), overrides or ())
    target = folder or Path("runs") / settings.name
    if dry_run:
        from workflows.campaign_plan import plan_campaign

        plan = plan_campaign(settings, target)
        show(plan.as_dict(), plan.table, as_json)
        return DONE
    with stdout_for_figures(as_json), session_deadline(stop_after, notice) as deadline:
        from workflows.campaign import start_campaign

        ended = start_campaign(settings, target, inline=inline, site=site, deadline=deadline)
    return campaign_ended(ended, as_json, deadline)


@app.command()
def resume(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER|LIMIT=VALUE",
            help="Run folders, or a campaign's; limits.labels=80 changes a limit.",
        ),
    ],
    site: Site = None,
    inline: Inline = False,
    stop_after: StopAfter = None,
    notice: Notice = NOTICE,
    as_json: Json = False,
) -> int:
    """Go on with interrupted runs, or with a campaign, from the last commits."""
    from bnnflow.data.layout import is_campaign

    limits = [text for text in targets if "=" in text and not Path(text).exists()]
    folders = [Path(text) for text in targets if text not in limits]
    how: dict[str, Any] = {"inline": inline, "site": site, "overrides": limits}
    if len(folders) == 1 and is_campaign(folders[0]):
        with stdout_for_figures(as_json), session_deadline(stop_after, notice) as deadline:
            from workflows.campaign import resume_campaign

            ended = resume_campaign(folders[0], deadline=deadline, **how)
        return campaign_ended(ended, as_json, deadline)
    _require(folders)
    with stdout_for_figures(as_json), session_deadline(stop_after, notice) as deadline:
        from workflows.session import resume as resume_runs

        resume_runs(folders, deadline=deadline, **how)
    return finish(folders, as_json, deadline)


@app.command()
def merge(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER|KEY=VALUE",
            help="Run and campaign folders of one level of theory; sampler.chains=4 changes the "
            "sampler.",
        ),
    ],
    into: Annotated[Path, typer.Option(help="Folder of the merged model, its ensemble and card.")],
    hold_out: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="Materials to judge by, not to learn from.")
    ] = "",
    most_labels: Annotated[
        int | None, typer.Option(min=1, help="Learn from so many, dealt evenly over the runs.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the chains.")] = 1,
    site: Site = None,
    inline: Inline = False,
    as_json: Json = False,
) -> None:
    """Merge the labels of runs into one foundation model, so that the next one starts better."""
    from bnnflow.config.loading import sampler_of
    from workflows.merge import merge as merge_runs

    changes = [text for text in targets if "=" in text and not Path(text).exists()]
    with stdout_for_figures(as_json):
        result = merge_runs(
            [text for text in targets if text not in changes],
            into=into,
            hold_out=[name for name in hold_out.split(",") if name],
            sampler=sampler_of(changes),
            most_labels=most_labels,
            seed=seed,
            inline=inline,
            site=site,
        )
    show({"model": result.model, **result.card}, result.table, as_json)


@app.command()
def status(
    folders: Annotated[list[Path], typer.Argument(help="Run or campaign folders.")],
    as_json: Json = False,
    watch: Annotated[bool, typer.Option("--watch", help="Draw again until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between looks.")] = 5.0,
) -> None:
    """Say how far a run is, or how the runs of a campaign stand; works while they run."""
    from workflows.watching import status_of, watch_runs

    if watch:
        watch_runs(folders, as_json=as_json, every_s=every)
        return
    figures, table = status_of(folders)
    show(figures, table, as_json)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Run or campaign folders.")],
    runs: Annotated[
        bool, typer.Option("--runs", help="Also the report of every run of a campaign.")
    ] = False,
) -> None:
    """Write report.html, one self-contained page with plots, into each folder."""
    from workflows.watching import write_reports

    for page in write_reports(folders, runs=runs):
        print(page)


@app.command()
def validate(
    folder: Folder,
    frames: Annotated[
        int,
        typer.Option(
            min=2, help="Random unlabelled frames to label, 20 fs apart; fewer when no more fit."
        ),
    ] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Which draw of frames.")] = 0,
    site: Site = None,
    inline: Inline = False,
    as_json: Json = False,
) -> None:
    """Label random frames and print how good the fine-tuned and foundation models are."""
    _require([folder])
    from workflows.validation import validate as draw

    with stdout_for_figures(as_json):
        result = draw(folder, frames=frames, seed=seed, inline=inline, site=site)
    show(result.as_dict(), result.table, as_json)


app.command()(analyse)
app.command()(submit)
app.command("plan")(plan_campaign)


@app.command()
def export(folder: Folder, out: Annotated[Path, typer.Argument(help="Folder to make.")]) -> None:
    """Write an ASE calculator and the labelled frames as extxyz."""
    _require([folder])
    from bnnflow.analysis.export import export_run

    print(export_run(folder, out))


@app.command()
def label(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG|STRUCTURE|KEY=VALUE",
            help="Configs, molecules or structure files; KEY=VALUE changes the config.",
        ),
    ],
    reference: Annotated[str, typer.Option(help="Config whose reference labels.")] = "ethanol",
    folder: Annotated[
        Path | None, typer.Option(help="For inputs, outputs and results; default: a temporary one.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Label structures with the reference, outside any run."""
    from workflows.labelling import label_targets, labels_table

    with stdout_for_figures(as_json):
        labels = label_targets(targets, reference=reference, folder=folder)
    show({"labels": labels}, lambda: labels_table(labels), as_json)
    failed = sum("cause" in item for item in labels)
    return say(f"{failed} of {len(labels)} labels failed", INTERNAL) if failed else DONE


@site_app.command("list")
def site_list(as_json: Json = False) -> None:
    """Name the site configs that can be used."""
    from executors.site import list_sites

    sites = list_sites()
    show({"sites": sites}, lambda: "\n".join(sites), as_json)


@site_app.command("check")
def site_check(
    site: Annotated[str, typer.Argument(help="Name or path.")] = "local",
    start: Annotated[bool, typer.Option("--run", help="Start the pools, ask each one.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where runs will be; default: here.")] = None,
    wait_s: Annotated[float, typer.Option(help="Longest wait for a pool, queue included.")] = 300.0,
    as_json: Json = False,
) -> int:
    """Check a site config: sizes and batch scripts; with --run, what each pool offers."""
    from executors.check import check_site, site_table

    with stdout_for_figures(as_json):
        figures = check_site(site, run=start, folder=folder, wait_s=wait_s)
    show(figures, lambda: site_table(figures), as_json)
    problems = figures.get("problems", [])
    return say(f"{len(problems)} problems with site {site}", USER) if problems else DONE


@model_app.command("list")
def model_list(as_json: Json = False) -> None:
    """Name the foundation models, and say which are on this machine."""
    from bnnflow.potentials.registry import list_models

    models = list_models()
    width = max(len(m.name) for m in models) + 2
    rows = [f"{m.name:<{width}}{'here' if m.present else 'not here':<10}{m.path}" for m in models]
    show({"models": models}, lambda: "\n".join(rows), as_json)


@model_app.command("info")
def model_info(
    name: Annotated[str, typer.Argument(help="Name or path.")], as_json: Json = False
) -> None:
    """Describe a model: its file, checksum and model card."""
    from bnnflow.potentials import registry

    info = registry.model_info(name)
    show(info, lambda: "\n".join(f"{key:<20}{value}" for key, value in info.items()), as_json)


def _require(folders: list[Path]) -> None:
    from bnnflow.data import is_run
    from bnnflow.errors import RunFolderError

    for folder in folders:
        if not is_run(folder):
            raise RunFolderError(f"{folder} holds no run, expected a run folder: check the path")


if __name__ == "__main__":
    main()

"""`bnnflow plan`: what a campaign would take on a site, from measured or given times.

Parsing and printing only. Imports inside the functions keep `--help` fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from bnnflow.errors import ConfigError
from workflows.console import show


def plan_campaign(
    config: Annotated[str, typer.Argument(help="Config file, or a shipped one.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Such as run.seed=2.")
    ] = None,
    site: Annotated[str | None, typer.Option(help="Site config, by name or path.")] = None,
    measured: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Run or campaign to measure task times on; may be repeated."),
    ] = None,
    label_s: Annotated[
        float | None, typer.Option(help="Seconds of a label, if not --from.")
    ] = None,
    md_s: Annotated[float | None, typer.Option(help="Seconds of an MD step.")] = None,
    update_s: Annotated[
        float | None, typer.Option(help="Seconds of one chain's update; default: 0.")
    ] = None,
    update_per_label_s: Annotated[
        float | None, typer.Option(help="And for each label it knows; default: 0.")
    ] = None,
    labels: Annotated[
        int | None, typer.Option(min=1, help="Labels of a run, if not --from; default: 20.")
    ] = None,
    label_power: Annotated[
        float | None,
        typer.Option(help="Labels take (atoms)^this as long; default: as in the runs of --from."),
    ] = None,
    runs: Annotated[
        int | None, typer.Option(min=1, help="Plan for so many runs like these.")
    ] = None,
    queue_s: Annotated[float, typer.Option(help="Seconds until the first job starts.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Predict wall time, node hours and bottleneck of a campaign, from measured or given times."""
    from bnnflow.config.campaign_loading import load_campaign
    from workflows.campaign_forecast import forecast_campaign
    from workflows.configs import find_config
    from workflows.plan_times import given, measure

    settings = load_campaign(find_config(config), overrides or ())
    by_hand = {
        "--label-s": label_s,
        "--md-s": md_s,
        "--update-s": update_s,
        "--update-per-label-s": update_per_label_s,
        "--labels": labels,
    }
    if measured:
        _refuse(by_hand, "is given beside --from, which measures it")
        times = measure(measured, label_power=label_power)
    else:
        _refuse({"--label-power": label_power}, "is given without --from, whose sizes it is for")
        update = (update_s or 0.0, update_per_label_s or 0.0)
        times = given(label=label_s, md=md_s, update=update, labels=labels or 20)
    target = Path("runs") / settings.name
    found = forecast_campaign(settings, target, times, site=site, runs=runs, queue_s=queue_s)
    show(found.as_dict(), found.table, as_json)


def _refuse(options: Mapping[str, float | None], why: str) -> None:
    """Raises ConfigError for an option that would have no effect."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"{name} {why}: remove it")

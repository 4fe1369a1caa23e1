"""When a run, or a campaign, has had enough: budgets and stop rules."""

from __future__ import annotations

from collections.abc import Sequence

from bnnflow.config.limits import LimitsConfig
from workflows.ledger import Ledger

HOUR_S = 3600.0


def reason_to_leave(limits: LimitsConfig, ledger: Ledger) -> str:
    """Why a run is to be left where it stands, in words; "" while it is to go on.

    A budget of labels is spent when one more is asked for: until then MD goes on.
    """
    return _spent(limits, [ledger], wants_label=ledger.wants_label) or _quiet(limits, ledger)


class Budget:
    """What all runs of a campaign may use together."""

    def __init__(self, limits: LimitsConfig) -> None:
        self.limits = limits
        self._ledgers: list[Ledger] = []

    def join(self, ledger: Ledger) -> None:
        """Count a run in, one that has ended too."""
        self._ledgers.append(ledger)

    def reason_to_leave(self, ledger: Ledger) -> str:
        """Why one of the runs is to be left where it stands; "" while it is to go on."""
        return campaign_reason(self.limits, self._ledgers, ledger)


def campaign_reason(limits: LimitsConfig, ledgers: Sequence[Ledger], ledger: Ledger) -> str:
    """Why one run of a campaign is to be left: the sum over all its runs has reached a budget."""
    spent = _spent(limits, ledgers, wants_label=ledger.wants_label)
    return f"campaign: {spent}" if spent else ""


def _spent(limits: LimitsConfig, ledgers: Sequence[Ledger], *, wants_label: bool) -> str:
    labels = sum(len(each.label_steps) for each in ledgers)
    if limits.labels is not None and wants_label and labels >= limits.labels:
        return f"{labels} of {limits.labels} labels made, and one more is wanted"
    hours = sum(each.node_seconds for each in ledgers) / HOUR_S
    if limits.node_hours is not None and hours >= limits.node_hours:
        return f"{hours:.3g} of {limits.node_hours:g} node hours used"
    wall = max(each.wall_s for each in ledgers) / HOUR_S
    if limits.wall_hours is not None and wall >= limits.wall_hours:
        return f"driven for {wall:.3g} of {limits.wall_hours:g} hours"
    return ""


def _quiet(limits: LimitsConfig, ledger: Ledger) -> str:
    if limits.labels_per_ps is None or limits.quiet_ps is None:
        return ""
    since = ledger.time_ps - limits.quiet_ps
    labels = ledger.labels_since(since)
    if since < 0.0 or labels > limits.labels_per_ps * limits.quiet_ps or ledger.wants_label:
        return ""
    return (
        f"{labels} labels in the last {limits.quiet_ps:g} ps, at most {limits.labels_per_ps:g} "
        "per ps"
    )

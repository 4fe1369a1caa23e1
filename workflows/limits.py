"""When a run, a material or a campaign has had enough: budgets and stop rules."""

from __future__ import annotations

from collections.abc import Mapping

from bnnflow.config.limits import LimitsConfig
from bnnflow.uncertainty import rms_upper_bound
from bnnflow.units import to_kcal_per_mol
from workflows.ledger import Clock, Ledger

HOUR_S = 3600.0
CONFIDENCE = 0.95
"""With which the accuracy of audits counts as established."""


def reason_to_leave(limits: LimitsConfig, ledger: Ledger) -> str:
    """Why a run is to be left where it stands, in words; "" while it is to go on.

    A budget of labels is spent when one more is asked for: until then MD goes on.
    """
    spent = _spent(
        limits,
        labels=len(ledger.label_steps),
        node_seconds=ledger.node_seconds,
        wall_s=ledger.wall_s,
        wants_label=ledger.wants_label,
    )
    return spent or _quiet(limits, ledger) or _accurate(limits, ledger)


class Budget:
    """What all runs of a campaign, or of a material, may use together."""

    def __init__(
        self,
        limits: LimitsConfig,
        before: Mapping[str, Ledger],
        *,
        whose: str = "campaign",
        within: Budget | None = None,
    ) -> None:
        """before: what each run, by name, has used in earlier sessions; whose: in words; within:
        a budget of more runs, these among them."""
        self.limits = limits
        self._whose = whose
        self._within = within
        self._ledgers = dict(before)
        self._clock = Clock()
        for start, seconds in sorted(span for each in before.values() for span in each.spans):
            self._clock.pass_by(start, seconds)

    def ledger_of(self, name: str) -> Ledger | None:
        """That of a run that had begun before."""
        return self._ledgers.get(name)

    def join(self, name: str, ledger: Ledger) -> None:
        """Count a run in that is about to be driven."""
        self._ledgers[name] = ledger
        ledger.clocks.append(self._clock)
        if self._within is not None:
            self._within.join(name, ledger)

    def reason_to_leave(self, ledger: Ledger) -> str:
        """Why one of the runs is to be left where it stands; "" while it is to go on."""
        spent = _spent(
            self.limits,
            labels=sum(len(each.label_steps) for each in self._ledgers.values()),
            node_seconds=sum(each.node_seconds for each in self._ledgers.values()),
            wall_s=self._clock.seconds,
            wants_label=ledger.wants_label,
        )
        if spent:
            return f"{self._whose}: {spent}"
        return "" if self._within is None else self._within.reason_to_leave(ledger)


def _spent(
    limits: LimitsConfig, *, labels: int, node_seconds: float, wall_s: float, wants_label: bool
) -> str:
    if limits.labels is not None and wants_label and labels >= limits.labels:
        return f"{labels} of {limits.labels} labels made, and one more is wanted"
    hours = node_seconds / HOUR_S
    if limits.node_hours is not None and hours >= limits.node_hours:
        return f"{hours:.3g} of {limits.node_hours:g} node hours used"
    wall = wall_s / HOUR_S
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


def _accurate(limits: LimitsConfig, ledger: Ledger) -> str:
    """Not between a label and the update that learns from it: the label is there for that."""
    errors, wanted = ledger.audit_errors, limits.audit_error_kcal_per_mol
    if wanted is None or limits.audits is None or ledger.wants_update:
        return ""
    look = len(errors) - limits.audits + 1
    if look < 1:
        return ""
    bound = to_kcal_per_mol(rms_upper_bound(errors, confidence=CONFIDENCE, look=look))
    if bound >= wanted:
        return ""
    return (
        f"RMS error of {len(errors)} audits is below {bound:.3g} kcal/mol with "
        f"{100 * CONFIDENCE:g} % confidence, wanted {wanted:g}"
    )

"""The config of a campaign: materials times conditions, with settings that all runs share.

The sections of a run stand beside `materials` and `conditions`, and in a material's own entry where
that material differs. They are checked as those of a run once they are whole: see `expansion`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from bnnflow.config.base import Section
from bnnflow.config.limits import OF_ONE_RUN, LimitsConfig
from bnnflow.config.yaml_values import dump_yaml

SETTINGS = (
    "potential",
    "threshold",
    "dynamics",
    "sampler",
    "reference",
    "calibration",
    "initial",
    "guards",
    "limits",
    "run",
)
"""Sections of a run that a campaign, and each of its materials, may hold."""

SourceKind = Literal["structure", "file", "folder", "ase_db", "optimade", "materials_project"]
SOURCES: tuple[SourceKind, ...] = get_args(SourceKind)
"""Keys of which an entry has exactly one."""

SOURCE_KEYS: Mapping[str, tuple[str, ...]] = {
    "frames": ("file",),
    "pattern": ("folder",),
    "select": ("ase_db",),
    "providers": ("optimade",),
    "limit": ("ase_db", "optimade", "materials_project"),
}
"""Keys that only some sources use."""


def _listed(value: Any) -> Any:
    return value if value is None or isinstance(value, (list, tuple)) else [value]


Text = Annotated[str, BeforeValidator(lambda value: value if value is None else str(value))]
Temperatures = Annotated[tuple[PositiveFloat, ...], BeforeValidator(_listed)]
Pressures = Annotated[tuple[float, ...], BeforeValidator(_listed)]
Seeds = Annotated[tuple[NonNegativeInt, ...], BeforeValidator(_listed)]
Words = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class SharedSettings(Section):
    """Sections of a run, as far as they are given here."""

    potential: Mapping[str, Any] = Field(default_factory=dict, description="as in docs/config.md")
    threshold: Mapping[str, Any] = Field(default_factory=dict, description="as in docs/config.md")
    dynamics: Mapping[str, Any] = Field(default_factory=dict, description="as in docs/config.md")
    sampler: Mapping[str, Any] = Field(default_factory=dict, description="as in docs/config.md")
    reference: Mapping[str, Any] = Field(default_factory=dict, description="as in docs/config.md")
    calibration: Mapping[str, Any] = Field(default_factory=dict, description="as in docs/config.md")
    initial: Mapping[str, Any] = Field(default_factory=dict, description="as in docs/config.md")
    guards: Mapping[str, Any] = Field(default_factory=dict, description="as in docs/config.md")
    limits: Mapping[str, Any] = Field(
        default_factory=dict, description="of each run, as in docs/config.md"
    )
    run: Mapping[str, Any] = Field(
        default_factory=dict, description="as in docs/config.md, without folder"
    )

    def settings(self) -> dict[str, Mapping[str, Any]]:
        """The sections that hold something."""
        return {name: dict(getattr(self, name)) for name in SETTINGS if getattr(self, name)}


class MaterialEntry(SharedSettings):
    """Where one or more materials come from, and what is particular to them."""

    structure: str | None = Field(default=None, description="name of a molecule or crystal")
    file: str | None = Field(
        default=None, description="file that ASE reads (extxyz, cif, POSCAR, ...); all its frames"
    )
    folder: str | None = Field(default=None, description="folder of such files")
    ase_db: str | None = Field(default=None, description="file of an ASE database")
    optimade: str | None = Field(default=None, description="OPTIMADE filter")
    materials_project: Mapping[str, Any] | None = Field(
        default=None, description="query of the Materials Project: arguments of its summary search"
    )
    frames: Text = Field(default=":", description="of file: which frames, 0 or ::10")
    pattern: str = Field(default="", description="of folder: glob, *.cif; default: all structures")
    select: str = Field(default="", description="of ase_db: selection, natoms<10,Li")
    providers: Words = Field(default=(), description="of optimade: base URLs of databases")
    limit: PositiveInt | None = Field(
        default=None,
        description="of ase_db and queries: the first so many; queries without it refuse over 20",
    )
    name: str = Field(
        default="",
        pattern=r"^[\w.+-]*$",
        description="name of the material; with several, what their own names begin with",
    )
    charge: int | None = Field(
        default=None, description="total charge, e; default: what the source says, else 0"
    )
    multiplicity: int | None = Field(
        default=None, ge=1, description="2S+1; default: what the source says, else 1"
    )
    repeat: tuple[PositiveInt, PositiveInt, PositiveInt] = Field(
        default=(1, 1, 1), description="how often the cell is repeated, [2, 2, 2]"
    )
    weight: PositiveFloat = Field(
        default=1.0, description="share of a pool that is in demand, against the other materials'"
    )
    budget: LimitsConfig = Field(
        default_factory=LimitsConfig,
        description="limits (docs/config.md) of all runs of the material together: labels, "
        "node_hours, wall_hours",
    )
    priority: int = Field(
        default=0, description="tasks of a higher priority go first whatever the shares"
    )
    origin: str = Field(
        default="", description="where it came from; filled in when the campaign starts"
    )

    @model_validator(mode="after")
    def _one_source(self) -> MaterialEntry:
        given = [key for key in SOURCES if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise ValueError(f"has {found}, expected exactly one of {', '.join(SOURCES)}")
        for key, sources in SOURCE_KEYS.items():
            if key in self.model_fields_set and given[0] not in sources:
                raise ValueError(f"has {key}, which {given[0]} does not use: remove it")
        if self.optimade is not None and not self.providers:
            raise ValueError("has optimade without providers, expected base URLs of databases")
        return self

    @model_validator(mode="after")
    def _budget_is_of_all(self) -> MaterialEntry:
        refuse_rules_of_one_run(self.budget)
        return self

    @property
    def kind(self) -> SourceKind:
        """The source that is given."""
        return next(key for key in SOURCES if getattr(self, key) is not None)


class Conditions(Section):
    """What every material is run at: all combinations."""

    temperature_K: Temperatures = Field(
        default=(), description="temperatures, K; in place of dynamics.temperature_K"
    )
    pressure_bar: Pressures = Field(
        default=(), description="pressures of npt, bar; in place of dynamics.pressure_bar"
    )
    seeds: Seeds = Field(default=(), description="in place of run.seed")
    walkers: PositiveInt = Field(
        default=1, description="runs of the same material and conditions, each with its own noise"
    )

    @model_validator(mode="after")
    def _no_doubles(self) -> Conditions:
        for key in ("temperature_K", "pressure_bar", "seeds"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"has a value of {key} twice, expected each once")
        return self


class SetAside(Section):
    """A material that could not be used and was left out."""

    name: str = Field(description="its name")
    origin: str = Field(default="", description="where it came from")
    reason: str = Field(description="why it could not be used")


class CampaignConfig(SharedSettings):
    """Everything that defines a campaign. Make it with `load_campaign` or `parse_campaign`."""

    name: str = Field(
        pattern=r"^[\w+-][\w.+-]*$", description="name of the campaign; its folder is runs/NAME"
    )
    materials: tuple[MaterialEntry, ...] = Field(description="entries, each with one source")
    conditions: Conditions = Field(default_factory=Conditions, description="grid of conditions")
    on_bad_material: Literal["refuse", "set_aside"] = Field(
        default="refuse",
        description="what a material that cannot be run does: refuse the start, or be left out",
    )
    budget: LimitsConfig = Field(
        default_factory=LimitsConfig,
        description="limits (docs/config.md) of all runs together: labels, node_hours, wall_hours",
    )
    most_open: PositiveInt = Field(
        default=200, description="runs that are under way at once; others wait for one to end"
    )
    ensembles: Literal["per_run", "per_material"] = Field(
        default="per_run",
        description="per_material: all runs of a material share one ensemble, one calibration and "
        "one data set",
    )
    calibration_prior: Literal["own", "pooled"] = Field(
        default="own",
        description="pooled: the prior of a run's calibration is learnt from the errors of the "
        "other runs (method.md)",
    )
    compat: str | None = Field(default=None, description="as in docs/config.md")
    set_aside: tuple[SetAside, ...] = Field(
        default=(), description="materials left out; filled in when the campaign starts"
    )

    @model_validator(mode="after")
    def _some_material(self) -> CampaignConfig:
        if not self.materials:
            raise ValueError("has no materials: give entries, such as - structure: ethanol")
        return self

    @model_validator(mode="after")
    def _budget_is_of_all(self) -> CampaignConfig:
        refuse_rules_of_one_run(self.budget)
        return self

    @property
    def limited(self) -> bool:
        """Whether there is a budget of several runs together."""
        budgets = [self.budget, *(entry.budget for entry in self.materials)]
        return any(budget.model_dump() for budget in budgets)

    def to_yaml(self) -> str:
        """The keys that are given; `load_campaign` reads it back equal."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        values["materials"] = [_settings_last(entry) for entry in values["materials"]]
        return dump_yaml(_settings_last(values))


def refuse_rules_of_one_run(budget: LimitsConfig) -> None:
    """Raises ValueError for a rule that means nothing for several runs together."""
    for key in OF_ONE_RUN:
        if getattr(budget, key) is not None:
            raise ValueError(f"has budget.{key}, expected it in limits: each run has its own")


def _settings_last(values: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in values.items() if key not in SETTINGS}
    return own | {key: value for key, value in values.items() if key in SETTINGS}

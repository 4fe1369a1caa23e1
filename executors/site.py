"""Site configs: one page of YAML per machine, found by name or path."""

from __future__ import annotations

import difflib
import os
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from bnnflow.config.base import Section
from bnnflow.config.messages import one_line
from bnnflow.config.yaml_values import parse_yaml
from bnnflow.errors import ConfigError
from executors.pool_config import DftPool, GpuPool, MdPool
from executors.schema.coordinator import CoordinatorConfig
from executors.schema.monitoring import MonitoringConfig

_SHIPPED = "executors.site_configs"


class Pools(Section):
    """The three pools of a site."""

    gpu: GpuPool = Field(
        default_factory=lambda: GpuPool.model_validate({}), description="samples posterior chains"
    )
    dft: DftPool = Field(
        default_factory=lambda: DftPool.model_validate({}), description="reference labels"
    )
    md: MdPool = Field(
        default_factory=lambda: MdPool.model_validate({}), description="propagates walkers"
    )


class SiteConfig(Section):
    """Where work runs; every size is a number once the file is loaded."""

    name: str = Field(description="what the site is called; default: the file's name")
    extends: str = Field(
        default="", description="another site, whose keys hold where this file gives none"
    )
    description: str = Field(default="", description="one line for people")
    source: tuple[str, ...] = Field(
        default=(), description="addresses of the public pages that the numbers come from"
    )
    unverified: bool = Field(
        default=False, description="no public page stands behind the numbers: check them first"
    )
    address: str = Field(
        default="auto",
        description="IP address of this machine that the workers can reach; auto: 127.0.0.1 when "
        "all pools are local, else all addresses of this machine, and workers find the one",
    )
    interface: str = Field(
        default="", description="network interface with that address, e.g. ib0; instead of address"
    )
    encrypted: bool = Field(default=True, description="encrypt and authenticate all messages")
    heartbeat_period_s: int = Field(default=5, gt=0, description="how often workers are checked")
    heartbeat_threshold_s: int = Field(
        default=20, gt=0, description="silence after which a counterpart counts as lost"
    )
    idle_s: int = Field(
        default=600, gt=0, description="a scheduler's block idle for so long is given back"
    )
    monitoring: MonitoringConfig = Field(
        default_factory=MonitoringConfig, description="Parsl's own database; see below"
    )
    coordinator: CoordinatorConfig = Field(
        default_factory=CoordinatorConfig,
        description="the job of `bnnflow submit`, in which the coordinator runs; see below",
    )
    pools: Pools = Field(default_factory=Pools, description="gpu, dft and md")

    @model_validator(mode="after")
    def _one_address(self) -> Self:
        if self.interface and self.address != "auto":
            raise ValueError(
                f"has address {self.address} and interface {self.interface}, expected one of them"
            )
        return self

    @model_validator(mode="after")
    def _vouched(self) -> Self:
        if self.unverified and self.source:
            raise ValueError("has unverified and source, expected one of them")
        return self

    @property
    def remote(self) -> bool:
        """Whether a pool is started by a scheduler."""
        return any(pool.scheduler is not None for _, pool in self.pools)

    @model_validator(mode="after")
    def _patient(self) -> Self:
        if self.heartbeat_threshold_s < 2 * self.heartbeat_period_s:
            raise ValueError(
                f"heartbeat_threshold_s is {self.heartbeat_threshold_s}, expected at least twice "
                f"heartbeat_period_s ({self.heartbeat_period_s})"
            )
        return self


def load_site(name_or_path: str | Path) -> SiteConfig:
    """The site shipped under this name, else the file at this path, else the user's own.

    User's own: `$XDG_CONFIG_HOME/bnnflow/sites/NAME.yaml`. A file with `extends: NAME` holds what
    differs from that site. Raises ConfigError, in one line with the nearest known name or key,
    when there is none or a key or value is wrong.
    """
    path = _find(name_or_path)
    return parse_site({"name": path.stem, **_extended(path, ())}, source=path.name)


def parse_site(values: dict[str, Any], *, source: str = "site config") -> SiteConfig:
    """Make a site config from nested keys, as a file holds them. source: names them in messages."""
    try:
        return SiteConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {one_line(error, SiteConfig)}") from error


def list_sites() -> list[str]:
    """Names of the shipped sites and of the user's own."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.yaml")})


def _extended(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    """The keys of a file over those of the site that it extends."""
    values = _read(path)
    base = values.get("extends")
    if not base:
        return values
    below = _find(str(base))
    if below in (*seen, path):
        raise ConfigError(f"{path.name} extends itself through {below.name}: name another site")
    return _merged({**_extended(below, (*seen, path)), "name": path.stem}, values)


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Sections are joined key by key; a provider of another kind replaces the whole one."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            same_kind = value.get("kind", old.get("kind")) == old.get("kind")
            merged[key] = _merged(old, value) if same_kind else value
        else:
            merged[key] = value
    return merged


def _read(path: Path) -> dict[str, Any]:
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a site config: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys, expected name: and pools:")
    return values


def _find(name_or_path: str | Path) -> Path:
    shipped, own = _folders()
    named = {path.stem: path for path in shipped.glob("*.yaml")}
    places = (named.get(str(name_or_path)), Path(name_or_path), own / f"{name_or_path}.yaml")
    for path in places:
        if path is not None and path.is_file():
            return path
    near = difflib.get_close_matches(str(name_or_path), list_sites(), n=1)
    hint = f"did you mean {near[0]}?" if near else f"known sites: {', '.join(list_sites())}"
    raise ConfigError(f"no site '{name_or_path}': give a known name or the path of a file; {hint}")


def _folders() -> tuple[Path, Path]:
    """The shipped folder, then the user's own."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return shipped_folder(), Path(home) / "bnnflow" / "sites"


def shipped_folder() -> Path:
    """The shipped site files: inside the installed package, else beside it in a checkout."""
    try:
        found = [Path(str(item)) for item in files(_SHIPPED).iterdir()]
    except ModuleNotFoundError:
        found = []
    installed = [path.parent for path in found if path.suffix == ".yaml"]
    return installed[0] if installed else Path(__file__).parents[1] / "site-configs"

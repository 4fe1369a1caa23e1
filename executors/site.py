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
from executors.pool_config import GpuPool, MdPool, PoolConfig

_SHIPPED = "executors.site_configs"


class Pools(Section):
    """The three pools of a site."""

    gpu: GpuPool = Field(default_factory=lambda: GpuPool.model_validate({}))
    dft: PoolConfig = Field(default_factory=lambda: PoolConfig.model_validate({}))
    md: MdPool = Field(default_factory=lambda: MdPool.model_validate({}))


class SiteConfig(Section):
    """Where work runs; every size is a number once the file is loaded."""

    name: str = Field(description="what the site is called")
    description: str = Field(default="", description="one line for people")
    address: str = Field(
        default="127.0.0.1", description="address of this machine that the workers can reach"
    )
    encrypted: bool = Field(default=True, description="encrypt and authenticate all messages")
    heartbeat_period_s: int = Field(default=5, gt=0, description="how often workers are checked")
    heartbeat_threshold_s: int = Field(
        default=20, gt=0, description="silence after which a counterpart counts as lost"
    )
    pools: Pools = Field(default_factory=Pools, description="gpu, dft and md")

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

    User's own: `$XDG_CONFIG_HOME/bnnflow/sites/NAME.yaml`. Raises ConfigError, in one line with
    the nearest known name or key, when there is none or a key or value is wrong.
    """
    path = _find(name_or_path)
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a site config: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no keys, expected name: and pools:")
    return parse_site({"name": path.stem, **values}, source=path.name)


def parse_site(values: dict[str, Any], *, source: str = "site config") -> SiteConfig:
    """Make a site config from nested keys, as a file holds them. source: names them in messages."""
    try:
        return SiteConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{source}: {one_line(error, SiteConfig)}") from error


def list_sites() -> list[str]:
    """Names of the shipped sites and of the user's own."""
    return sorted({path.stem for folder in _folders() for path in folder.glob("*.yaml")})


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
    return _shipped(), Path(home) / "bnnflow" / "sites"


def _shipped() -> Path:
    """Inside the installed package, else beside it in a checkout."""
    try:
        found = [Path(str(item)) for item in files(_SHIPPED).iterdir()]
    except ModuleNotFoundError:
        found = []
    installed = [path.parent for path in found if path.suffix == ".yaml"]
    return installed[0] if installed else Path(__file__).parents[1] / "site-configs"

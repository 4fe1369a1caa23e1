"""Start-up check: the three packages of the project come from one place.

`executors` and `workflows` are generic names; another package of that name, or a checkout mixed
with an installation, would run other code than the one that is meant.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from bnnflow.errors import ConfigError

PACKAGES = ("bnnflow", "executors", "workflows")


def check_one_place(packages: tuple[str, ...] = PACKAGES) -> Path:
    """The folder that holds all packages. Raises ConfigError when they come from several."""
    homes = {name: _home(name) for name in packages}
    if len(set(homes.values())) > 1:
        found = ", ".join(f"{name} in {home}" for name, home in homes.items())
        raise ConfigError(
            f"bnnflow's packages come from different places ({found}), expected one: "
            "use an environment of its own, and PYTHONPATH without other copies"
        )
    return homes[packages[0]]


def _home(name: str) -> Path:
    """The folder that holds a package."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ConfigError(f"package {name} was not found beside bnnflow: install bnnflow again")
    return Path(spec.origin).resolve().parents[1]

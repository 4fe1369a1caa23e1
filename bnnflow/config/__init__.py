"""The config of a run: typed sections, unknown keys refused, defaults in one place.

`load_config` reads YAML with `key=value` overrides; `check_run` finds what cannot run before
anything is written.
"""

from bnnflow.config.check import check_run
from bnnflow.config.loading import config_from_yaml, load_config, parse_config
from bnnflow.config.run import RunConfig

__all__ = ["RunConfig", "check_run", "config_from_yaml", "load_config", "parse_config"]

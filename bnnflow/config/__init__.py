"""The config of a run or a campaign: typed sections, unknown keys refused, defaults in one place.

`load_config` and `load_campaign` read YAML with `key=value` overrides; `check_run` finds what
cannot run before anything is written.
"""

from bnnflow.config.campaign import CampaignConfig
from bnnflow.config.campaign_loading import load_campaign, parse_campaign
from bnnflow.config.check import check_run
from bnnflow.config.loading import config_from_yaml, load_config, parse_config, with_limits
from bnnflow.config.run import RunConfig

__all__ = [
    "CampaignConfig",
    "RunConfig",
    "check_run",
    "config_from_yaml",
    "load_campaign",
    "load_config",
    "parse_campaign",
    "parse_config",
    "with_limits",
]

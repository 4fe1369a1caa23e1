"""Many runs at once: where each stands, how full the pools were, what it cost and will cost.

`Watcher` looks at run folders and campaign folders; `write_campaign_report` draws the page.
"""

from bnnflow.analysis.campaign.report import write_campaign_report
from bnnflow.analysis.campaign.watcher import CampaignStatus, Watcher

__all__ = ["CampaignStatus", "Watcher", "write_campaign_report"]

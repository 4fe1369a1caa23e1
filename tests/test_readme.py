"""The README shows the shipped config and script word for word."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["workflows/configs/ethanol.yaml", "workflows/ethanol.py"])
def test_readme_shows_the_file(name: str) -> None:
    assert (ROOT / name).read_text() in (ROOT / "README.md").read_text()


def test_page_of_config_keys_is_up_to_date() -> None:
    from bnnflow.config.page import page

    assert (ROOT / "docs" / "config.md").read_text() == page()


def test_tables_of_campaign_keys_are_up_to_date() -> None:
    from bnnflow.config.page import campaign_tables

    assert campaign_tables() in (ROOT / "docs" / "campaigns.md").read_text()


def test_the_page_on_campaigns_shows_the_file() -> None:
    config = (ROOT / "workflows" / "configs" / "small-molecules.yaml").read_text()
    assert config in (ROOT / "docs" / "campaigns.md").read_text()

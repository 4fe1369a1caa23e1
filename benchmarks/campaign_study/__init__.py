"""The parts of `campaign_molecules.py`."""

"""Runs with faults injected at random moments, and what became of their labels; see `faults.py`."""

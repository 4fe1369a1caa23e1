"""Blocks of workers: jobs of a scheduler, or process groups on this machine."""

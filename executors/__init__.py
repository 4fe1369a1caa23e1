"""Where work runs: site configurations and the pools. The only place that imports parsl."""

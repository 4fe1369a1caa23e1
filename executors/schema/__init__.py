"""The typed keys of a site file, beside the pools and the site itself."""

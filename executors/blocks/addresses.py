"""The address of this machine at which workers on other nodes reach it."""

from __future__ import annotations

import socket

from parsl.addresses import address_by_interface

from bnnflow.errors import ConfigError
from executors.site import SiteConfig

LOOPBACK = "127.0.0.1"


def site_address(site: SiteConfig) -> str | None:
    """One address, or None: all of this machine, of which each worker finds the one.

    Raises ConfigError when this machine has no interface of the site's name.
    """
    if site.interface:
        return _of_interface(site.interface)
    if site.address != "auto":
        return site.address
    return None if site.remote else LOOPBACK


def _of_interface(name: str) -> str:
    try:
        return str(address_by_interface(name))
    except OSError as error:
        known = ", ".join(found for _, found in socket.if_nameindex())
        raise ConfigError(
            f"interface {name} has no address on this machine, expected one of {known}: correct "
            "interface in the site file"
        ) from error

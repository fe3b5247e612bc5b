"""The daemon's fixtures."""

from tests.support.daemon_site import site

__all__ = ["site"]

"""The daemon and the HTTP face of these tests."""

import pytest

from tests.brokers_for_tests import source
from tests.support import daemon_site, web
from tests.support.daemon_site import Site

bare_site = daemon_site.site
faces = web.faces


@pytest.fixture
def site(bare_site: Site) -> Site:
    """A site whose one service keeps each payload whole."""
    bare_site.write("keeper", source("keeper"))
    everything = ["push", "tag", "delete"]
    bare_site.configure(bare_site.services("keeper", events=everything))
    return bare_site

"""The daemon and the HTTP face of these tests."""

import pytest

from oberonc.web.settings import ROLES
from tests.brokers_for_tests import source
from tests.support import daemon_site, web
from tests.support.browser import Browser
from tests.support.daemon_site import Site
from tests.support.web import Face, Faces, tokens

bare_site = daemon_site.site
faces = web.faces


@pytest.fixture
def site(bare_site: Site) -> Site:
    """A site whose one service keeps each payload whole."""
    bare_site.write("keeper", source("keeper"))
    everything = ["push", "tag", "delete"]
    bare_site.configure(bare_site.services("keeper", events=everything))
    return bare_site


@pytest.fixture
def face(site: Site, faces: Faces) -> Face:
    """The face of a daemon that runs on the site, with a token for each role."""
    tokens(site, ROLES)
    site.start()
    return faces.start()


@pytest.fixture
def person(face: Face) -> Browser:
    """Somebody who has logged in as an administrator."""
    made = Browser(face.port)
    assert made.log_in("admin-token").status == 200
    return made

"""A stream that wants a user and password: Basic authentication by a subclass of the
opener.
"""

import urllib

from django.utils import simplejson as sj

from brokers import BaseBroker

URL = "http://localhost"


class URLOpener(urllib.FancyURLopener):
    version = "bitbucket.org"

    def prompt_user_passwd(self, host, realm):
        return self.user, self.password


class Stream(BaseBroker):
    def handle(self, payload):
        opener = self.get_local("opener", URLOpener)
        service = payload["service"]
        opener.user = service["username"]
        opener.password = service["password"]
        del payload["service"]
        del payload["broker"]
        url = URL + "/private"
        post = {
            "message[body]": "%s pushed" % payload["user"],
            "payload": sj.dumps(payload),
        }
        opener.open(url, urllib.urlencode(post))

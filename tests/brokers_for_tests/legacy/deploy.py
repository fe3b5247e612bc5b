"""A deployment: optional settings, no secrets taken out."""

from urllib import FancyURLopener, urlencode

from django.utils import simplejson as sj

from brokers import BaseBroker

URL = "http://localhost"


class Opener(FancyURLopener):
    version = "bitbucket.org"


class Deploy(BaseBroker):
    def handle(self, payload):
        if "email" in payload["service"]:
            payload["email"] = payload["service"]["email"]
        data = {
            "commits": [c["raw_node"] for c in payload["commits"]],
            "email": payload["email"],
        }
        self.get_local("opener", Opener).open(
            URL + "/deploy", urlencode({"payload": sj.dumps(data)})
        )

"""A build server: several old-style helpers, GET with a query."""

import urllib

from brokers import BaseBroker

URL = "http://localhost"


class Bamboo(BaseBroker):
    def get_url(self, service):
        query = urllib.urlencode({"buildKey": service["build"], "os_authType": "basic"})
        return (
            URL
            + "/build?"
            + query
            + "&q="
            + urllib.quote("a b")
            + urllib.quote_plus("c d")
        )

    def handle(self, payload):
        answer = urllib.urlopen(self.get_url(payload["service"]))
        return answer.read()

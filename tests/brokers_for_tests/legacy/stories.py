"""A tracker that is told with a header of its own, and answers with an error page."""

import urllib

from brokers import BaseBroker

URL = "http://localhost"


class Stories(BaseBroker):
    def handle(self, payload):
        opener = urllib.FancyURLopener()
        opener.addheader("X-TrackerToken", payload["service"]["token"])
        answer = opener.open(URL + "/gone", "<xml/>")
        return str(answer.status)

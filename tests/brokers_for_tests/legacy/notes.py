from brokers import BaseBroker
from packages import requests, simplejson as sj
from packages.requests.auth import HTTPBasicAuth


class Notes(BaseBroker):
    def handle(self, payload):
        service = payload["service"]
        del payload["service"]
        del payload["broker"]
        auth = HTTPBasicAuth(service["username"], service["password"])
        answer = requests.post(
            service["url"], auth=auth, data={"payload": sj.dumps(payload)}
        )
        answer.raise_for_status()

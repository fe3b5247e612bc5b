"""Piston, Django REST framework, django-ninja and a bare view, in one process.

`python -m tests.benchmarks.piston_peers` prints, as JSON, the time of each as a multiple
of the bare view's.
"""

import gc
import json
import statistics
import time
from dataclasses import dataclass
from typing import Any

import django
from django.conf import settings

if not settings.configured:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        INSTALLED_APPS=["oberonc.piston", "rest_framework"],
        MIDDLEWARE=[],
        REST_FRAMEWORK={"UNAUTHENTICATED_USER": None},
        ROOT_URLCONF=__name__,
        SECRET_KEY="of the benchmark",
    )
    django.setup()

from django.core.handlers.base import BaseHandler as DjangoHandler
from django.http import HttpRequest, JsonResponse
from django.test import RequestFactory
from django.urls import path
from ninja import NinjaAPI, Schema
from rest_framework import serializers
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from oberonc.piston import BaseHandler, Resource, validate

ROUNDS, CALLS = 60, 60
ROW = {
    "id": 7,
    "title": "A title of some words",
    "open": True,
    "price": 12.5,
    "note": None,
    "made": "2030-01-02T03:04:05Z",
}
ROWS = [{**ROW, "id": number} for number in range(50)]
SENT = json.dumps({"sku": "a1", "count": 3})


def bare_one(request: HttpRequest) -> JsonResponse:
    return JsonResponse(ROW)


def bare_many(request: HttpRequest) -> JsonResponse:
    return JsonResponse(ROWS, safe=False)


def bare_post(request: HttpRequest) -> JsonResponse:
    data = json.loads(request.body)
    if not isinstance(data["sku"], str) or not isinstance(data["count"], int):
        return JsonResponse({}, status=422)
    return JsonResponse({"sku": data["sku"], "count": data["count"]}, status=201)


@dataclass
class Order:
    sku: str
    count: int


class One(BaseHandler):
    def read(self, request: Any) -> Any:
        return ROW


class Many(BaseHandler):
    def read(self, request: Any) -> Any:
        return ROWS


class Orders(BaseHandler):
    @validate(Order)
    def create(self, request: Any) -> Any:
        return {"sku": request.cleaned.sku, "count": request.cleaned.count}


class Plain(APIView):  # type: ignore[misc]
    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    parser_classes = (JSONParser,)


class RestOne(Plain):
    def get(self, request: Any) -> Response:
        return Response(ROW)


class RestMany(Plain):
    def get(self, request: Any) -> Response:
        return Response(ROWS)


class RestOrder(serializers.Serializer):  # type: ignore[misc]
    sku = serializers.CharField()
    count = serializers.IntegerField()


class RestOrders(Plain):
    def post(self, request: Any) -> Response:
        order = RestOrder(data=request.data)
        order.is_valid(raise_exception=True)
        return Response(order.validated_data, status=201)


class NinjaOrder(Schema):
    sku: str
    count: int


ninja = NinjaAPI(openapi_url=None)


@ninja.get("one")
def ninja_one(request: HttpRequest) -> Any:
    return ROW


@ninja.get("many")
def ninja_many(request: HttpRequest) -> Any:
    return ROWS


@ninja.post("orders")
def ninja_orders(request: HttpRequest, order: NinjaOrder) -> Any:
    return {"sku": order.sku, "count": order.count}


urlpatterns = [
    path("bare/one", bare_one),
    path("bare/many", bare_many),
    path("bare/orders", bare_post),
    path("piston/one", Resource(One)),
    path("piston/many", Resource(Many)),
    path("piston/orders", Resource(Orders)),
    path("drf/one", RestOne.as_view()),
    path("drf/many", RestMany.as_view()),
    path("drf/orders", RestOrders.as_view()),
    path("ninja/", ninja.urls),
]
django_handler = DjangoHandler()
django_handler.load_middleware()
PEERS = ("bare", "piston", "drf", "ninja")
CASES = ("one", "many", "orders")


def _answer(request: HttpRequest) -> bytes:
    """From a request to the bytes of its answer, through Django's own handler."""
    return bytes(django_handler.get_response(request).content)


def _requests(target: str, case: str) -> list[HttpRequest]:
    make = RequestFactory()
    if case == "orders":
        kind = "application/json"
        return [make.post(target, SENT, content_type=kind) for _ in range(CALLS)]
    return [make.get(target, headers={"Accept": "*/*"}) for _ in range(CALLS)]


def _seconds(peer: str, case: str) -> float:
    """One round: the processor's time for the calls of one peer."""
    requests = _requests(f"/{peer}/{case}", case)
    gc.collect()
    began = time.process_time()
    for request in requests:
        _answer(request)
    return time.process_time() - began


def ratios() -> dict[str, dict[str, float]]:
    """For each case the median time of each peer, the bare view's being 1."""
    found: dict[str, dict[str, float]] = {}
    for case in CASES:
        first = {}
        for peer in PEERS:
            first[peer] = json.loads(_answer(_requests(f"/{peer}/{case}", case)[0]))
        assert all(answer == first["bare"] for answer in first.values()), first
        times: dict[str, list[float]] = {peer: [] for peer in PEERS}
        for _ in range(ROUNDS):
            for peer in PEERS:
                times[peer].append(_seconds(peer, case))
        bare = statistics.median(times["bare"])
        found[case] = {peer: statistics.median(times[peer]) / bare for peer in PEERS}
    return found


if __name__ == "__main__":
    print(json.dumps(ratios()))

"""The URLs of the test project."""

from django.urls import include, path

from oberonc.piston import (
    HttpBasicSimple,
    Resource,
    documentation_view,
    openapi_view,
)
from tests.piston.project import handlers

basic = HttpBasicSimple("API", "ann", "open sesame")
books = Resource(handlers.Books)
private = Resource(handlers.Private, authentication=[basic])

api = [
    path("books/", books, name="books"),
    path("books/<int:id>/", books, name="book"),
    path("authors/", Resource(handlers.Authors)),
    path("authors/<int:id>.<emitter_format>", Resource(handlers.Authors)),
    path("shelves/", Resource(handlers.Shelves, authentication=[basic])),
    path("orders/", Resource(handlers.Orders)),
    path("echo/", Resource(handlers.Echo)),
    path("numbers/", Resource(handlers.Numbers)),
    path("slow/", Resource(handlers.Slow)),
    path("async-numbers/", Resource(handlers.AsyncNumbers)),
    path("private/", private),
]

urlpatterns = [
    path("", include(api)),
    path("openapi.json", openapi_view),
    path("documentation/", documentation_view),
]

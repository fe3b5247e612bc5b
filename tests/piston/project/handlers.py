"""Handlers of the test project: models, things that are no models, streams, async."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from oberonc.piston import (
    AnonymousBaseHandler,
    BaseHandler,
    ModelHandler,
    computed,
    idempotent,
    paginate,
    require_mime,
    throttle,
    validate,
)
from tests.piston.project.models import Author, Book, Shelf


class Authors(ModelHandler):
    """Authors, to be read."""

    model = Author
    fields = ("id", "name", ("publisher", ("name",)))


class Books(ModelHandler):
    """Books of the library."""

    model = Book
    fields = (
        "id",
        "title",
        "isbn",
        ("author", Authors),
        ("tags", ("word",)),
        "pages",
        "price",
        "printed",
        "lent",
        "notes",
        "cost",
        "resource_uri",
    )
    list_fields = ("id", "title", ("author", ("name",)), ("tags", ("word",)))
    writable = (
        "title",
        "isbn",
        "author",
        "tags",
        "pages",
        "price",
        "printed",
        "lent",
        "notes",
        "cover",
    )
    max_page_size = 20

    @computed
    def cost(self, book: Any) -> Decimal | None:
        """What a page costs."""
        return None if book.price is None else Decimal(book.price) / book.pages

    @classmethod
    def resource_uri(cls, book: Book) -> tuple[str, dict[str, Any]]:
        """Where a book is."""
        return "book", {"id": book.pk}


class Shelves(ModelHandler):
    """Shelves of whoever asks."""

    model = Shelf
    fields = ("id", "label", "owner")
    writable = ("label",)
    allowed_methods = ("GET", "POST")

    def queryset(self, request: Any) -> Any:
        """Only one's own."""
        return Shelf.objects.filter(owner=request.user.get_username())

    def save(self, request: Any, instance: Any) -> None:
        """Who makes a shelf owns it."""
        instance.owner = request.user.get_username()
        instance.save()


@dataclass
class Order:
    """An order of some books."""

    sku: str
    count: int = 1


class Echo(BaseHandler):
    """What was sent, as it was understood."""

    def read(self, request: Any) -> Any:
        """The parameters of the query string."""
        return request.GET.dict()

    def create(self, request: Any) -> Any:
        """What was sent."""
        return self._seen(request)

    def update(self, request: Any) -> Any:
        """What was sent."""
        return self._seen(request)

    def _seen(self, request: Any) -> Any:
        files = {
            name: {"name": file.name, "size": file.size}
            for name, file in request.files.items()
        }
        return {"data": request.data, "files": files, "size": len(request.body)}


class Orders(BaseHandler):
    """Orders, which are kept nowhere."""

    def read(self, request: Any) -> Any:
        """A hundred of them, in pages."""
        return paginate(request, [{"sku": f"s{n}"} for n in range(100)], size=10)

    @validate(Order)
    @throttle(1000, 60)
    @idempotent()
    def create(self, request: Any) -> Any:
        """Order something."""
        return request.cleaned


class Numbers(BaseHandler):
    """Many rows; `fail` breaks after so many."""

    def read(self, request: Any) -> Iterator[Any]:
        """The rows."""
        fail = int(request.GET.get("fail", -1))
        for number in range(int(request.GET.get("count", 1000))):
            if number == fail:
                raise ValueError("broken on purpose")
            yield {"number": number, "text": "row " * 10}


class Slow(BaseHandler):
    """In the event loop: two requests meet, or they would wait for ever."""

    waiting: ClassVar[list[asyncio.Future[None]]] = []

    async def read(self, request: Any) -> Any:
        """An answer as soon as somebody else asks too."""
        if self.waiting:
            self.waiting.pop().set_result(None)
            return {"second": True}
        other = asyncio.get_running_loop().create_future()
        self.waiting.append(other)
        await other
        return {"second": False}


class AsyncNumbers(BaseHandler):
    """Many rows that are made in the event loop."""

    async def read(self, request: Any) -> AsyncIterator[Any]:
        """The rows."""
        return self._rows(int(request.GET.get("count", 1000)))

    async def _rows(self, count: int) -> AsyncIterator[Any]:
        for number in range(count):
            yield {"number": number, "text": "row " * 10}


class Public(AnonymousBaseHandler):
    """What everybody may see."""

    def read(self, request: Any) -> Any:
        """Hardly anything."""
        return {"open": True}


class Private(BaseHandler):
    """What only some may see."""

    anonymous = Public

    def read(self, request: Any) -> Any:
        """The name of who asks."""
        return {"user": request.user.get_username()}

    @require_mime("json")
    def update(self, request: Any) -> Any:
        """Only JSON."""
        return request.data

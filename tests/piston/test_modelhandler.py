"""Section 11: handlers of models."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import clear_url_caches, path

from oberonc.piston import ModelHandler, Resource
from oberonc.piston.test import Client
from tests.piston.conftest import Serve
from tests.piston.project import handlers
from tests.piston.project.models import Author, Book, Publisher, Shelf, Tag

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def client(tmp_path: Any) -> Iterator[Client]:
    """The project's URLs."""
    with override_settings(
        ROOT_URLCONF="tests.piston.project.urls", MEDIA_ROOT=str(tmp_path)
    ):
        clear_url_caches()
        yield Client(basic=("ann", "open sesame"), raise_request_exception=False)
    clear_url_caches()


@pytest.fixture
def author() -> Any:
    return Author.objects.create(
        name="Ursula", publisher=Publisher.objects.create(name="Ace")
    )


@pytest.fixture
def tags() -> list[Tag]:
    return [Tag.objects.create(word=word) for word in ("space", "anarchy")]


@pytest.fixture
def book(author: Author, tags: list[Tag]) -> Any:
    book = Book.objects.create(title="The Dispossessed", author=author, isbn="1")
    book.tags.set(tags)
    return book


def pointers(answer: Any) -> set[str]:
    return {entry["pointer"] for entry in answer.data["errors"]}


def url(book: Book) -> str:
    return f"/books/{book.pk}/"


def test_11_a_row_is_shown_by_its_fields_and_nothing_else(
    client: Client, book: Book
) -> None:
    shown = client.get(url(book)).data
    assert shown["title"] == "The Dispossessed"
    assert shown["author"] == {
        "id": book.author.pk,
        "name": "Ursula",
        "publisher": {"name": "Ace"},
    }
    assert shown["tags"] == [{"word": "space"}, {"word": "anarchy"}]
    assert shown["resource_uri"] == url(book)
    assert "secret" not in shown


def test_11_a_url_without_arguments_is_a_page(client: Client, author: Author) -> None:
    for number in range(30):
        Book.objects.create(title=f"Book {number}", author=author)
    answer = client.get("/books/", {"limit": 25, "offset": 5})
    assert len(answer.data) == handlers.Books.max_page_size == 20
    assert answer["X-Total-Count"] == "30"
    assert [each["title"] for each in answer.data][:2] == ["Book 5", "Book 6"]


def test_11_queries_do_not_grow_with_rows(
    client: Client, author: Author, tags: list[Tag]
) -> None:
    counts = []
    for number in range(20):
        author_of_it = Author.objects.create(name=f"A{number}")
        book = Book.objects.create(title=f"Book {number}", author=author_of_it)
        book.tags.set(tags)
        with CaptureQueriesContext(connection) as queries:
            assert len(client.get("/books/").data) == number + 1
        counts.append(len(queries))
    assert set(counts) == {3}  # count, rows with authors, tags


def test_11_handlers_that_name_each_other_end_without_further_queries(
    serve: Serve, book: Book, author: Author
) -> None:
    class Writers(ModelHandler):
        model = Author
        fields = ("name", ("books", None))

    class Works(ModelHandler):
        model = Book
        fields = ("title", ("author", Writers))

    Writers.fields = ("name", ("books", Works))  # type: ignore[assignment]
    Book.objects.create(title="The Lathe of Heaven", author=author)
    client = serve(path("works/", Resource(Works)))
    with CaptureQueriesContext(connection) as queries:
        shown = client.get("/works/").json()
    assert len(queries) == 3
    assert shown[0]["author"]["books"][1] == {
        "title": "The Lathe of Heaven",
        "author": author.pk,
    }


def test_11_handlers_that_name_each_other_many_to_many_end(
    serve: Serve, book: Book, author: Author, tags: list[Tag]
) -> None:
    class Words(ModelHandler):
        model = Tag
        fields = ("word", ("books", None))

    class Works(ModelHandler):
        model = Book
        fields = ("title", ("tags", Words))

    Words.fields = ("word", ("books", Works))  # type: ignore[assignment]
    other = Book.objects.create(title="Other", author=author)
    other.tags.set(tags)
    answer = serve(path("works/", Resource(Works))).get("/works/")
    assert answer.status_code == 200
    assert answer.json()[0]["tags"][0]["books"][0] == book.pk


def test_11_a_row_is_made_and_shown_as_get_shows_it(
    client: Client, author: Author, tags: list[Tag]
) -> None:
    made = client.post(
        "/books/",
        {"title": "Always", "author": author.pk, "tags": [tags[0].pk], "price": 3.5},
    )
    assert made.status_code == 201
    assert made.data == client.get(made["Location"]).data
    assert made.data["price"] == "3.50"
    assert made.data["pages"] == 100


@pytest.mark.parametrize("format", ["json", "yaml", "xml", "form", "multipart"])
def test_11_every_format_makes_the_same_row(
    client: Client, author: Author, tags: list[Tag], format: str
) -> None:
    sent = {
        "title": "Always",
        "author": author.pk,
        "tags": [tags[0].pk, tags[1].pk],
        "pages": 7,
        "price": "1.25",
        "printed": "2030-01-02T03:04:05+01:00",
        "lent": "true",
    }
    made = client.post("/books/", sent, format=format, accept="json")
    assert made.status_code == 201, made.content
    shown = made.data
    assert (shown["pages"], shown["price"], shown["lent"]) == (7, "1.25", True)
    assert shown["printed"] == "2030-01-02T02:04:05Z"
    assert len(shown["tags"]) == 2


@pytest.mark.parametrize("key", ["id", "pk", "secret", "is_staff", "_state", "a/b"])
def test_11_what_is_not_writable_is_422_with_its_pointer(
    client: Client, book: Book, key: str
) -> None:
    for answer in (
        client.patch(url(book), {key: 99}),
        client.put(url(book), {"title": "x", "author": 1, key: 99}),
        client.post("/books/", {"title": "x", "author": 1, key: 99}),
    ):
        assert answer.status_code == 422
        assert "#/" + key.replace("/", "~1") in pointers(answer)
    again = Book.objects.get()
    assert (again.pk, again.secret, again.title) == (book.pk, "hidden", book.title)


WRONG: dict[str, tuple[str, Any]] = {
    "a number for a text": ("title", 4),
    "an object for a text": ("title", {"a": 1}),
    "too long": ("title", "x" * 81),
    "NUL": ("title", "a\0b"),
    "half a surrogate pair": ("title", "\ud800"),
    "null": ("title", None),
    "blank": ("title", ""),
    "a fraction for an integer": ("pages", 3.7),
    "true for a number": ("pages", True),
    "negative": ("pages", -1),
    "more than a database takes": ("pages", 10**30),
    "a list for a number": ("pages", [1]),
    "too precise": ("price", "1.999"),
    "no number": ("price", "NaN"),
    "no date": ("printed", "soon"),
    "a number for a date": ("printed", 5),
    "no boolean": ("lent", "perhaps"),
    "a row that is not there": ("author", 10**6),
    "a key no database takes": ("author", 10**30),
    "an object for a key": ("author", {"id": 1}),
    "a path for a file": ("cover", "/etc/passwd"),
    "no list": ("tags", 1),
}


@pytest.mark.parametrize("case", WRONG)
def test_11_a_wrong_value_is_422_with_its_pointer(
    client: Client, book: Book, case: str
) -> None:
    name, value = WRONG[case]
    answer = client.patch(url(book), {name: value})
    assert answer.status_code == 422, answer.content
    assert pointers(answer) == {"#/" + name}
    assert client.get(url(book)).data["title"] == "The Dispossessed"


def test_11_all_that_is_wrong_is_told_at_once(client: Client, tags: list[Tag]) -> None:
    answer = client.post(
        "/books/", {"pages": -1, "tags": [tags[0].pk, 10**6, [], 10**30], "x": 1}
    )
    assert pointers(answer) >= {"#/x", "#/title", "#/author", "#/pages"}
    assert pointers(answer) & {"#/tags/2", "#/tags/3"}


@pytest.mark.parametrize("data", [[], [1], "text", 5], ids=repr)
def test_11_a_body_that_is_no_object_is_422(client: Client, data: Any) -> None:
    answer = client.post("/books/", data)
    assert (answer.status_code, pointers(answer)) == (422, {"#"})


def test_11_a_check_constraint_is_422(client: Client, book: Book) -> None:
    answer = client.patch(url(book), {"pages": 0})
    assert answer.status_code == 422


def test_11_put_gives_what_is_missing_its_default(client: Client, book: Book) -> None:
    client.patch(url(book), {"pages": 7, "price": 2, "lent": True})
    answer = client.put(url(book), {"title": "New", "author": book.author.pk})
    assert answer.status_code == 200
    shown = answer.data
    assert (shown["pages"], shown["price"], shown["lent"]) == (100, None, False)
    assert (shown["isbn"], shown["tags"], shown["notes"]) == (None, [], {})
    assert Book.objects.get().secret == "hidden"


def test_11_put_without_what_has_no_default_is_422(client: Client, book: Book) -> None:
    answer = client.put(url(book), {"pages": 7})
    assert (answer.status_code, pointers(answer)) == (422, {"#/title", "#/author"})
    assert Book.objects.get().pages == 100


def test_11_patch_changes_what_was_sent(client: Client, book: Book) -> None:
    answer = client.patch(url(book), {"pages": 7})
    assert (answer.status_code, answer.data["pages"]) == (200, 7)
    assert answer.data["isbn"] == "1"
    assert client.patch(url(book), {"isbn": None}).data["isbn"] is None
    assert len(client.patch(url(book), {}).data["tags"]) == 2


def test_11_only_writable_fields_are_validated(client: Client, book: Book) -> None:
    Book.objects.update(secret="")  # not allowed to be blank
    assert client.patch(url(book), {"pages": 7}).status_code == 200


def test_11_what_is_taken_is_409(client: Client, book: Book) -> None:
    other = {"title": "Other", "author": book.author.pk}
    answer = client.post("/books/", other | {"isbn": "1"})
    assert (answer.status_code, pointers(answer)) == (409, {"#/isbn"})
    answer = client.post("/books/", other | {"title": book.title})
    assert answer.status_code == 409
    assert Book.objects.count() == 1


def test_11_a_conditional_unique_constraint_is_409(client: Client, book: Book) -> None:
    client.patch(url(book), {"price": 2, "lent": True})
    answer = client.post(
        "/books/",
        {"title": "O", "author": book.author.pk, "price": 2, "lent": True},
    )
    assert answer.status_code == 409


def test_11_what_only_the_database_finds_taken_is_409(
    serve: Serve, book: Book, author: Author
) -> None:
    class Titles(ModelHandler):
        model = Book
        fields = ("id", "title")
        writable = ("title",)  # the constraint is on author and title

    other = Book.objects.create(title="Other", author=author)
    client = serve(Resource(Titles))
    answer = client.patch(
        f"/things/{other.pk}/", {"title": book.title}, content_type="application/json"
    )
    assert answer.status_code == 409
    assert "UNIQUE" not in answer.content.decode()
    assert Book.objects.get(pk=other.pk).title == "Other"


def test_11_delete_is_204_and_then_404(client: Client, book: Book) -> None:
    assert client.delete(url(book)).status_code == 204
    assert client.delete(url(book)).status_code == 404
    assert client.get(url(book)).status_code == 404


def test_11_what_others_refer_to_is_not_deleted(serve: Serve, author: Author) -> None:
    class Publishers(ModelHandler):
        model = Publisher
        fields = ("name",)
        writable = ("name",)

    client = serve(Resource(Publishers))
    assert client.delete(f"/things/{author.publisher.pk}/").status_code == 409
    assert Publisher.objects.count() == 1


def test_11_without_writable_there_is_only_get(client: Client, author: Author) -> None:
    for method in (client.post, client.put, client.patch, client.delete):
        answer = method("/authors/", {})
        assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD, OPTIONS")


def test_11_a_list_takes_post_and_a_row_the_rest(client: Client, book: Book) -> None:
    assert client.options("/books/")["Allow"] == "GET, HEAD, POST, OPTIONS"
    row = client.options(url(book))["Allow"]
    assert row == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
    assert client.post(url(book), {}).status_code == 405
    assert client.delete("/books/").status_code == 405


def test_11_the_queryset_hides_rows_and_save_adds_to_them(client: Client) -> None:
    Shelf.objects.create(label="not mine", owner="bob")
    made = client.post("/shelves/", {"label": "A 1"})
    assert (made.status_code, made.data["owner"]) == (201, "ann")
    assert client.post("/shelves/", {"label": "x", "owner": "bob"}).status_code == 422
    assert [shelf["label"] for shelf in client.get("/shelves/").data] == ["A 1"]


def test_11_a_file_is_uploaded(client: Client, book: Book) -> None:
    cover = SimpleUploadedFile("cover.png", b"12345")
    for send in (client.patch, client.put):
        data = {"title": "T", "author": book.author.pk, "cover": cover}
        assert send(url(book), data, format="multipart").status_code == 200
        assert Book.objects.get().cover.read() == b"12345"
        cover.seek(0)


def test_11_a_url_argument_that_names_nothing_is_404(serve: Serve, book: Book) -> None:
    client = serve(path("books/<str:id>/", Resource(handlers.Authors)))
    for name in ("x", "9" * 40, "%00"):
        assert client.get(f"/books/{name}/").status_code == 404


def test_11_nothing_else_imports_it() -> None:
    """Not at all is what a project pays that has no models in its API."""
    import subprocess
    import sys

    script = (
        "import sys; from oberonc.piston import Resource, generate_doc, paginate\n"
        "assert 'oberonc.piston.modelhandler' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)

"""A handler as a view: the steps from a request to its answer, each in one place.

The steps are a generator. What may block, or is `async def`, it yields as a call; an
ordinary view makes the calls itself, an async one awaits them in the event loop or has
them made in a thread.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from oberonc.piston import answers, mimers
from oberonc.piston.answers import Exchange
from oberonc.piston.authentication import (
    Authenticator,
    BadCredentials,
    NoAuthentication,
    be_nobody,
)
from oberonc.piston.conf import setting
from oberonc.piston.driver import NO_ARGUMENTS, Steps, awaited, is_async, run
from oberonc.piston.emitters import Emitter
from oberonc.piston.handler import FUNCTIONS, BaseHandler
from oberonc.piston.negotiate import choose
from oberonc.piston.operations import Operation, Route, check_handler, find_route
from oberonc.piston.preconditions import preconditions
from oberonc.piston.problems import Problem

#: RFC 9110 section 9.3 and RFC 5789.
_METHODS: Final = (*FUNCTIONS, "HEAD", "OPTIONS", "TRACE", "CONNECT")
_NOT_STORED: Final = (401, 403, 429)


class Resource:
    """A view for Django's `path()` that lets a handler answer.

    `authentication` is an authenticator or several; the first that knows the client
    wins. Raises ImproperlyConfigured for a handler that contradicts itself.
    """

    csrf_exempt = True
    login_required = False  # else LoginRequiredMiddleware sends clients to a login page

    def __init__(
        self,
        handler: type[BaseHandler],
        authentication: Authenticator | Iterable[Authenticator] | None = None,
    ) -> None:
        self.handler = handler
        if authentication is None:
            authentication = ()
        elif not isinstance(authentication, Iterable):
            authentication = (authentication,)
        self.authentication = tuple(authentication) or (NoAuthentication(),)
        # Django names a view by these, in `reverse()` and in its debug page.
        self.__module__ = handler.__module__
        self.__name__ = handler.__name__
        self.__qualname__ = handler.__qualname__
        self.__doc__ = handler.__doc__
        self._open = all(type(one) is NoAuthentication for one in self.authentication)
        self._vary = tuple(
            dict.fromkeys(
                name
                for one in self.authentication
                for name in getattr(one, "vary", ("Authorization",))
            )
        )
        self._routes: dict[Any, Route] = {}
        handlers = [one for one in (handler, handler.anonymous) if one is not None]
        for one in handlers:
            check_handler(one)
        self._is_async = any(map(_has_async, handlers)) or any(
            iscoroutinefunction(one.is_authenticated) for one in self.authentication
        )
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """The answer; of an async resource, an awaitable of it."""
        steps = self._steps(Exchange(request, args, kwargs))
        return awaited(steps) if self._is_async else run(steps)

    def route(
        self, names: Collection[str], count: int = 0, anonymous: bool = False
    ) -> Route:
        """What can be done at a URL with arguments of these names, and `count` others.

        With `anonymous`, what the handler for requests without credentials can do.
        """
        handler = self.handler.anonymous if anonymous else self.handler
        key = (handler, count, tuple(names))
        if key not in self._routes:
            self._routes[key] = find_route(handler or BaseHandler, count, names)
        return self._routes[key]

    def formats(
        self,
        handler: type[BaseHandler] | None = None,
        piston: Mapping[str, Any] | None = None,
    ) -> tuple[str, ...]:
        """The names of the formats that a handler is served in, the default first."""
        names = (handler or self.handler).formats
        if names is None:
            names = setting("FORMATS", piston)
        registered = Emitter.formats
        if names is None:
            return tuple(registered)
        return tuple(name for name in names if name in registered)

    def error_handler(
        self, error: Exception, request: HttpRequest, method: str, format: str | None
    ) -> HttpResponseBase:
        """The answer to what was raised: a problem document in about this format.

        What is no answer in itself goes to the log, and to Django's debug page while
        developing. To be overridden; `super()` does the rest.
        """
        problem = answers.as_problem(error)
        if problem is None and answers.shows_debug_page(request):
            raise error
        try:
            problem = problem or answers.bug(error, request)
            return answers.problem_response(problem, format)
        except Exception as second:  # noqa: BLE001 - a member or header nobody can send
            problem = answers.bug(second, request)
            return answers.problem_response(problem, format)

    # -- the steps ---------------------------------------------------------------------

    def _steps(self, exchange: Exchange) -> Steps:
        """From the request to the finished answer."""
        asked = exchange.kwargs.pop("emitter_format", None)
        try:
            response = yield from self._answer(exchange, asked)
        except Exception as error:  # noqa: BLE001 - each has an answer
            response = yield from self._failed(exchange, error, asked)
        return self._finished(exchange, response)

    def _failed(self, exchange: Exchange, error: Exception, asked: Any) -> Steps:
        if exchange.format is None:
            exchange.format = self._format_of_problems(exchange, asked)
        arguments = (error, exchange.request, exchange.method, exchange.format)
        exchange.untouched = False
        return (yield self.error_handler, arguments, NO_ARGUMENTS)

    def _answer(self, exchange: Exchange, asked: Any) -> Steps:
        request, method, kwargs = exchange.request, exchange.method, exchange.kwargs
        if method not in _METHODS:
            raise Problem(501, "This method is not known to HTTP.")
        if asked is not None and asked not in self.formats():
            raise Problem(404, "There is no such format.")
        route = self.route(kwargs.keys(), len(exchange.args))
        if method == "OPTIONS":
            return answers.empty(204, {"Allow": route.allow})
        if method not in route.operations:
            raise Problem(405, headers={"Allow": route.allow})

        handler = self.handler
        if self._open:
            be_nobody(request)
        else:
            request.body_limit = mimers.body_limit(handler.max_body, exchange.piston)
            known = yield from self._authenticate(exchange)
            if not known:
                be_nobody(request)
                handler = self.handler.anonymous or handler
                route = self.route(kwargs.keys(), len(exchange.args), anonymous=True)

        exchange.format = self._format(exchange, handler, asked)
        exchange.handler = handler()
        exchange.handler.request = request
        operation = route.operations[method]
        if route.authorizes:
            yield from self._authorize(exchange)
        if operation.throttle is not None:
            yield operation.throttle.check, (request, handler, method), NO_ARGUMENTS
        if mimers.may_have_body(request):
            limit = mimers.body_limit(handler.max_body, exchange.piston)
            yield mimers.parse, (request, operation.mimes, limit), NO_ARGUMENTS
        if operation.idempotency is not None:
            return (yield from self._once(exchange, route, operation))
        return (yield from self._perform(exchange, route, operation))

    def _authenticate(self, exchange: Exchange) -> Steps:
        """Whether an authenticator knows the client; if not, its handler is another.

        Raises Problem 401, or 403 where nobody has a challenge.
        """
        for one in self.authentication:
            try:
                if (yield one.is_authenticated, (exchange.request,), NO_ARGUMENTS):
                    return True
            except BadCredentials as error:
                raise self._refusal(error.detail, one, error.challenge) from None
        if self.handler.anonymous is not None:
            route = self.route(exchange.kwargs.keys(), len(exchange.args), True)
            if exchange.method in route.operations:
                return False
        raise self._refusal("This needs credentials.")

    def _refusal(
        self, detail: str, wrong: Any = None, challenge: str | None = None
    ) -> Problem:
        """401 with all challenges; `challenge` stands for that of who found it wrong."""
        said = [
            challenge if one is wrong and challenge is not None else one.challenge()
            for one in self.authentication
        ]
        challenges = ", ".join(text for text in said if text)
        if not challenges:
            return Problem(403, detail)
        return Problem(401, detail, headers={"WWW-Authenticate": challenges})

    def _format(
        self, exchange: Exchange, handler: type[BaseHandler], asked: Any
    ) -> str:
        """The format of the answer; raises Problem 406 or, by the URL, 404."""
        names = exchange.names = self.formats(handler, exchange.piston)
        if asked is not None:
            if asked not in names:
                raise Problem(404, "There is no such format.")
            return str(asked)
        meta = exchange.request.META
        format: str | None = None
        if meta.get("QUERY_STRING") and (
            parameter := setting("FORMAT_PARAM", exchange.piston)
        ):
            format = exchange.request.GET.get(parameter)
        if format is None:
            exchange.vary = ("Accept",)
            offers = tuple([Emitter.formats[name].offer for name in names])
            format = choose(meta.get("HTTP_ACCEPT", ""), offers)
        if format is None or format not in names:
            available = {name: Emitter.formats[name].content_type for name in names}
            exchange.format = "json"
            raise Problem(406, "Ask for what is available.", available=available)
        return format

    def _format_of_problems(self, exchange: Exchange, asked: Any) -> str:
        """The format for an error that came before the answer had one."""
        if asked is not None:
            return str(asked)
        try:
            return self._format(exchange, self.handler, None)
        except (Problem, SuspiciousOperation):  # too many parameters, and no format
            return "json"

    def _authorize(self, exchange: Exchange) -> Steps:
        """`authorize` may say nothing, raise, or answer; what is false is a no."""
        call: Any = exchange.handler
        allowed = yield (
            call.authorize,
            (exchange.request, *exchange.args),
            exchange.kwargs,
        )
        if allowed is not None and not allowed:
            raise Problem(403, "You may not do this.")

    def _once(self, exchange: Exchange, route: Route, operation: Operation) -> Steps:
        """The rest under an idempotency key: kept if the function ran and is no 5xx."""
        request, once = exchange.request, operation.idempotency
        known = yield once.begin, (request, type(exchange.handler)), NO_ARGUMENTS
        if known is not None:
            exchange.untouched = True
            return known
        try:
            try:
                response = yield from self._perform(exchange, route, operation)
            except Exception as error:
                if not exchange.ran:
                    raise
                response = yield from self._failed(exchange, error, None)
        except BaseException:
            yield once.abandon, (request,), NO_ARGUMENTS
            raise
        yield once.finish, (request, response), NO_ARGUMENTS
        return response

    def _perform(self, exchange: Exchange, route: Route, operation: Operation) -> Steps:
        """Preconditions, validation, the function, and the answer made of its result."""
        request = exchange.request
        handler = exchange.handler
        if exchange.conditional or route.tells_version or handler.require_match:
            refused = yield from preconditions(exchange, route)
            if refused is not None:
                return refused
        for validation in operation.validations:
            yield validation.apply, (request,), NO_ARGUMENTS
        function = getattr(handler, operation.name)
        exchange.ran = True
        result = yield function, (request, *exchange.args), exchange.kwargs
        return (yield answers.answer, (exchange, result), NO_ARGUMENTS)

    def _finished(
        self, exchange: Exchange, response: HttpResponseBase
    ) -> HttpResponseBase:
        """The answer with the headers that caches go by; without a body to HEAD."""
        status = response.status_code
        if not self._open:
            patch_vary_headers(response, (*exchange.vary, *self._vary))
            if "Cache-Control" not in response:
                response["Cache-Control"] = "private"
        if exchange.untouched:
            return response
        if self._open and exchange.vary:
            response["Vary"] = "Accept"
        if status in _NOT_STORED or status >= 500:
            response["Cache-Control"] = "no-store"
        if exchange.method == "HEAD" and not response.streaming:
            response.content = b""
        return response


def _has_async(handler: type[BaseHandler]) -> bool:
    names = (*FUNCTIONS.values(), "authorize", "etag", "last_modified")
    return any(is_async(getattr(handler, name, None)) for name in names)

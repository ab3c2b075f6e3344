"""Routes that many small requests come to, without the framework around them.

For a small request FastAPI costs more than what it is asked for: six middlewares, two walks through the routers, three
exit stacks, and a look at every parameter of the route and of what guards it. A route that goes straight is declared in
FastAPI like any other, which describes it and can serve it; its guard, its function and the answers to its errors are
taken from that declaration, so there is no second one to keep in step. What is not exactly such a route (another
method, a slash too many, a prefix) is FastAPI's as before.
"""

import re
from collections.abc import Awaitable, Callable
from typing import NamedTuple, cast

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.convertors import StringConvertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from shared.observed import Observed

Answer = Callable[[Request], Awaitable[Response]]


class _Straight(NamedTuple):
    """A route, and what answers a request to it."""

    route: APIRoute
    answer: Answer


class StraightApp(FastAPI):
    """A FastAPI application of which some routes go straight from the server to their function."""

    def __init__(self, *, title: str) -> None:
        # A slash too many is no such route: a redirect would name the address without the TLS that lies before it.
        super().__init__(title=title, redirect_slashes=False)
        self._by_path: dict[tuple[str, str], _Straight] = {}
        self._by_pattern: list[tuple[str, re.Pattern[str], _Straight]] = []
        self._observed = Observed(self._answer)

    def go_straight(self, *paths: str) -> None:
        """Let the routes of ``paths``, templates as they were declared, go straight. Call it when all are included."""
        passed_by = {cast("object", one.cls) for one in self.user_middleware} - {Observed}
        assert not passed_by, f"a straight route would pass by {passed_by}"
        found = [context for context in iter_route_contexts(self.routes) if context.path in paths]
        assert {context.path for context in found} == set(paths), f"no such routes: {paths}"
        for context in found:
            self._add(context)

    def _add(self, context: RouteContext) -> None:
        route = context.original_route
        assert isinstance(route, APIRoute)
        assert context.path is not None
        straight = _Straight(route, _answer_of(context))
        pattern, _, converters = compile_path(context.path)
        assert all(isinstance(one, StringConvertor) for one in converters.values()), f"{context.path} has numbers"
        for method in context.methods or ():
            if converters:
                self._by_pattern.append((method, pattern, straight))
            else:
                self._by_path[method, context.path] = straight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (straight := self._find(scope)) is not None:
            scope["app"], scope["route"], scope["endpoint"] = self, straight.route, straight.answer
            await self._observed(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def _find(self, scope: Scope) -> _Straight | None:
        method, path = scope["method"], scope["path"]
        if (straight := self._by_path.get((method, path))) is not None:
            scope["path_params"] = {}
            return straight
        for its_method, pattern, straight in self._by_pattern:
            if method == its_method and (found := pattern.match(path)) is not None:
                scope["path_params"] = found.groupdict()
                return straight
        return None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            response = await scope["endpoint"](request)
        except Exception as error:
            # Any: the application says which errors it has an answer to. The server answers the others with 500.
            kinds = type(error).__mro__
            handler = next((self.exception_handlers[kind] for kind in kinds if kind in self.exception_handlers), None)
            if handler is None:
                raise
            response = await cast("Awaitable[Response]", handler(request, error))
        await response(scope, receive, send)


def _answer_of(context: RouteContext) -> Answer:
    """What FastAPI does for a route that takes its request, its guard's verdict and parts of its path, and no more."""
    needs = context.dependant
    others = [*needs.query_params, *needs.header_params, *needs.cookie_params, *needs.body_params]
    assert not others, f"{context.path} takes {others}"
    guards = [(guard.name, guard.call) for guard in needs.dependencies]
    assert all(hasattr(call, "scopes") for _, call in guards), f"{context.path} needs more than a scope"
    call, name = needs.call, needs.request_param_name
    assert name is not None, f"{context.path} does not take its request"
    assert all(part.field_info.annotation is str for part in needs.path_params), f"{context.path} takes more than words"

    async def answer(request: Request) -> Response:
        given = dict(request.path_params)
        for its_name, guard in guards:
            given[its_name] = await guard(request)
        given[name] = request
        response: Response = await call(**given)
        return response

    return answer

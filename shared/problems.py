"""Errors over HTTP as RFC 9457 problem details: ``application/problem+json``, one shape for every service."""

import json
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from shared.errors import BadInput, HeadroomError, NotReady, PlanError

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is an error: a status, a short title, the same each time, and what is the matter this time."""

    def __init__(
        self, status: int, title: str, detail: str = "", *, headers: Mapping[str, str] | None = None, **extra: Any
    ) -> None:
        self.status, self.title, self.detail, self.headers, self.extra = (
            status,
            title,
            detail,
            dict(headers or {}),
            extra,
        )
        super().__init__(f"{status} {title}: {detail}")

    def response(self) -> Response:
        """The answer as it goes over the wire; ``instance`` is unique so that a user can quote it."""
        body = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:uuid:{uuid.uuid4()}",
            **self.extra,
        }
        headers = dict(self.headers)
        if self.status == 401:
            headers.setdefault("WWW-Authenticate", "Bearer")
        content = json.dumps(body, ensure_ascii=True, default=str).encode()
        return Response(content, self.status, headers, media_type=MEDIA_TYPE)


def problem_of(error: HeadroomError) -> Problem:
    """The answer to an error of the domain."""
    if isinstance(error, PlanError):
        problems = [
            {"line": p.place.line, "column": p.place.column, "path": p.path, "reason": p.message, "excerpt": p.excerpt}
            for p in error.problems
        ]
        return Problem(422, "the plan cannot be used", str(error), problems=problems)
    if isinstance(error, BadInput):
        return Problem(400, error.what, _detail(error), where=error.where)
    if isinstance(error, NotReady):
        return Problem(503, error.what, _detail(error), headers={"Retry-After": "1"})
    return Problem(500, "something went wrong here", "The log names it under this instance.")


def _detail(error: HeadroomError) -> str:
    """Why, and what to do next, as sentences."""
    return ". ".join(part.rstrip(".") for part in (error.why, error.do) if part)


def _of_http(request: Request, error: HTTPException) -> Problem:
    """The answer to what the framework refuses, which says no more than its status's name."""
    path = request.url.path[:200]
    if error.status_code == 404:
        detail = f"There is no {path}; the paths are listed at /docs, for programs at /openapi.json."
        return Problem(404, "there is nothing here", detail, headers=error.headers)
    if error.status_code == 405:
        takes = (error.headers or {}).get("Allow", "other methods")
        return Problem(
            405, "not with this method", f"{path} takes {takes}, not {request.method}.", headers=error.headers
        )
    title = HTTPStatus(error.status_code).phrase.lower()
    return Problem(error.status_code, title, str(error.detail), headers=error.headers)


def install(app: FastAPI) -> None:
    """Answer every error of ``app`` as a problem."""

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def on_headroom(request: Request, error: Exception) -> Response:
        assert isinstance(error, HeadroomError)
        return problem_of(error).response()

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _of_http(request, error).response()

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        errors = [{"where": ".".join(str(part) for part in e["loc"]), "reason": e["msg"]} for e in error.errors()]
        detail = "; ".join(f"{e['where']}: {e['reason']}" for e in errors[:3])
        return Problem(422, "the request does not have the right shape", detail, errors=errors).response()

    app.add_exception_handler(Problem, on_problem)
    app.add_exception_handler(HeadroomError, on_headroom)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_validation)

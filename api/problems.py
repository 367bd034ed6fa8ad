"""Every error as an RFC 9457 problem document (application/problem+json)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
import psycopg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from psycopg_pool import PoolClosed, PoolTimeout
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

log = logging.getLogger("underfoot.api")

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One thing that is wrong with a request: where it stands, its value, and what is allowed."""

    field: str = Field(description="Name of the parameter or body field", examples=["limit"])
    place: str = Field(description="query, path, body or header", examples=["query"])
    value: str = Field(description="What was sent, shortened", examples=["5000"])
    message: str = Field(description="What is allowed", examples=["Input should be less than or equal to 1000"])


class ProblemDocument(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="What kind of problem, stable", examples=["urn:underfoot:problem:invalid"])
    title: str = Field(description="The kind in words", examples=["The request is not valid"])
    status: int = Field(description="The HTTP status again", examples=[422])
    detail: str = Field(
        description="What is wrong with this request",
        examples=["limit (query) = '5000': Input should be less than or equal to 1000"],
    )
    instance: str = Field(description="The path that was called", examples=["/api/v1/alarms"])
    errors: list[FieldError] | None = Field(None, description="With `invalid`: each field that is wrong")


TITLES: dict[str, tuple[int, str]] = {
    "bad-request": (400, "The request could not be read"),
    "no-key": (401, "A valid key is needed"),
    "not-logged-in": (401, "Nobody is logged in by this"),
    "role-too-low": (403, "The key's role does not allow this"),
    "scope-too-narrow": (403, "This concerns more than the caller's part of the city"),
    "not-from-here": (403, "A browser may do this only from a page of ours"),
    "not-found": (404, "There is nothing here"),
    "method-not-allowed": (405, "This path has no such method"),
    "conflict": (409, "The present state does not allow this"),
    "too-large": (413, "The request body is too large"),
    "invalid": (422, "The request is not valid"),
    "too-many": (429, "Too many calls"),
    "internal": (500, "Underfoot made a mistake"),
    "unavailable": (503, "A dependency is not there"),
}
_BY_STATUS = {status: kind for kind, (status, _) in reversed(TITLES.items())}
_SECRETS = frozenset(("password", "old_password", "new_password", "refresh_token", "invitation", "secret"))


class Problem(Exception):  # noqa: N818 - RFC 9457's word for it
    """Raised anywhere in the API to answer with a problem document. `kind` is a key of `TITLES`."""

    def __init__(
        self,
        kind: str,
        detail: str,
        *,
        errors: list[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def invalid(field: str, value: object, message: str, *, place: str = "query") -> Problem:
    """A field that only we, not its type, can refuse."""
    return _invalid([FieldError(field=field, place=place, value=shortened(value), message=message)])


def not_found(what: str) -> Problem:
    return Problem("not-found", f"There is no {what}.")


def respond(problem: Problem, path: str) -> Response:
    status, title = TITLES[problem.kind]
    document: dict[str, object] = {
        "type": f"urn:underfoot:problem:{problem.kind}",
        "title": title,
        "status": status,
        "detail": problem.detail,
        "instance": path,
        **problem.more,
    }
    if problem.errors:
        document["errors"] = [error.model_dump() for error in problem.errors]
    return Response(orjson.dumps(document), status, problem.headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make `app` answer every error that a route can raise with a problem document."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, error: Problem) -> Response:
        return respond(error, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        return respond(_from_validation(request, error), request.url.path)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        kind = _BY_STATUS.get(error.status_code, "bad-request")
        details = {
            "not-found": f"There is no {request.url.path} here; see /api/v1/openapi.json.",
            "method-not-allowed": f"{request.method} is not among this path's methods.",
        }
        return respond(Problem(kind, details.get(kind, str(error.detail)), headers=error.headers), request.url.path)

    @app.exception_handler(psycopg.errors.QueryCanceled)
    async def on_canceled(request: Request, error: psycopg.errors.QueryCanceled) -> Response:
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return respond(
            Problem(
                "unavailable", "The database took too long: ask for less, or again later.", headers={"Retry-After": "5"}
            ),
            request.url.path,
        )

    # PoolTimeout and PoolClosed are OperationalErrors too; they stand here for the reader.
    for away in (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout, PoolClosed):
        app.add_exception_handler(away, _on_database_away)


async def _on_database_away(request: Request, error: Exception) -> Response:
    log.warning("%s %s: the database does not answer: %s", request.method, request.url.path, str(error).strip())
    return respond(
        Problem("unavailable", "The database does not answer in time.", headers={"Retry-After": "2"}), request.url.path
    )


def _from_validation(request: Request, error: RequestValidationError) -> Problem:
    return _invalid([_field_error(request, item) for item in error.errors()])


def _invalid(errors: list[FieldError]) -> Problem:
    detail = "; ".join(f"{error.field} ({error.place}) = {error.value}: {error.message}" for error in errors)
    return Problem("invalid", detail, errors=errors)


def _field_error(request: Request, item: Any) -> FieldError:
    place, *path = [str(part) for part in item["loc"]]
    if item["type"] == "json_invalid":
        return FieldError(field="body", place="body", value="", message=f"not JSON: {item['ctx']['error']}")
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        message = f"there is no such {'parameter' if place == 'query' else 'field'}"
        if place == "query":
            message += f"; there are: {', '.join(_query_parameters(request))}"
    value = "(not shown)" if _is_secret(path, item.get("input")) else shortened(item.get("input"))
    return FieldError(field=".".join(path) or "body", place=place, value=value, message=message)


def _is_secret(path: list[str], value: object) -> bool:
    """Of a field that is missing pydantic gives what is there, the whole body."""
    return not _SECRETS.isdisjoint(path) or (isinstance(value, dict) and not _SECRETS.isdisjoint(value))


def _query_parameters(request: Request) -> list[str]:
    operation = request.app.openapi()["paths"][request.scope["route"].path][request.method.lower()]
    return [parameter["name"] for parameter in operation["parameters"] if parameter["in"] == "query"]


def shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def status_title(status: int) -> str:
    """The kind's title, for the OpenAPI document."""
    kind = _BY_STATUS.get(status)
    return TITLES[kind][1] if kind else HTTPStatus(status).phrase

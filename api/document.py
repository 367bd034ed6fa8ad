"""The OpenAPI document: what FastAPI derives, with our problem responses and the key in place of its defaults."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.examples import example_of
from api.problems import MEDIA_TYPE, TITLES, ProblemDocument, status_title
from api.roles import NEEDED, Door, Needed
from underfoot import __version__

_DESCRIPTION = f"""脚底下的安全: what a city's sensors report and what became of it; acknowledging and closing alarms.

Every call but `/healthz` and `/readyz` needs `Authorization: Bearer <key>` (`underfoot keys create`). Times are
RFC 3339 with a zone. Lists are pages: `limit`, and `cursor` = `next` of the page before. Every error is an RFC 9457
problem document (`{MEDIA_TYPE}`)."""


def describe(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = get_openapi(title="Underfoot", version=__version__, description=_DESCRIPTION, routes=app.routes)
    components = document.setdefault("components", {})
    schemas: dict[str, Any] = components.setdefault("schemas", {})
    for default in ("HTTPValidationError", "ValidationError"):
        schemas.pop(default, None)
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["ProblemDocument"] = problem
    components["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key made by `underfoot keys create`"},
        "vendor": {"type": "http", "scheme": "basic", "description": "A vendor's account (docs/push.md)"},
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
            _give_examples(operation, schemas)
    app.openapi_schema = document
    return document


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    operation["security"], needed = _security(NEEDED[method.upper(), path])
    operation["description"] = f"{operation.get('description', '').strip()}\n\n{needed}"
    responses: dict[str, Any] = operation["responses"]
    responses.pop("422", None)
    for status in sorted(_problem_statuses(path, method, operation)):
        responses[str(status)] = _problem(status, path)


def _security(needed: Needed) -> tuple[list[dict[str, list[str]]], str]:
    if needed is None:
        return [], "Needs no key."
    if isinstance(needed, Door):
        return [{needed.value: []}], f"Needs the account of a **{needed.value}**."
    return [{"key": []}], f"Needs the role **{needed.value}**."


def _give_examples(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """An example for the body that is sent and for what is answered, from the fields' own."""
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    bodies += [response for status, response in operation["responses"].items() if status.startswith("2")]
    for body in bodies:
        for content in body.get("content", {}).values():
            if "example" not in content:
                content["example"] = example_of(content["schema"], schemas, operation["operationId"])


def _problem_statuses(path: str, method: str, operation: dict[str, Any]) -> set[int]:
    statuses = {500}
    if path != "/healthz":
        statuses.add(503)
    if NEEDED[method.upper(), path] is not None:
        statuses |= {401, 403}
    if "{" in path:
        statuses.add(404)
    if operation.get("parameters") or "requestBody" in operation:
        statuses.add(422)
    if "requestBody" in operation:
        statuses |= {400, 409, 413}
    return statuses


def _problem(status: int, path: str) -> dict[str, Any]:
    kind = next(kind for kind, (each, _) in TITLES.items() if each == status)
    return {
        "description": status_title(status),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/ProblemDocument"},
                "example": {
                    "type": f"urn:underfoot:problem:{kind}",
                    "title": status_title(status),
                    "status": status,
                    "detail": _DETAILS[status],
                    "instance": path,
                },
            }
        },
    }


_DETAILS = {
    400: "There was an error parsing the body",
    401: "Send `Authorization: Bearer <key>`: the Authorization header is missing.",
    403: "This needs the role operator; the key 'wall' has the role viewer.",
    404: "There is no such thing.",
    409: "There is a key named 'wall' already; names are not used twice, revoked ones included.",
    413: "A body may have at most 65536 bytes.",
    422: "limit (query) = '5000': Input should be less than or equal to 1000",
    500: "The log has it under 3f9c2b7a1d20.",
    503: "The database does not answer in time.",
}

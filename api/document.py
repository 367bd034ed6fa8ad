"""The OpenAPI document: what FastAPI derives, with our problem responses and the key in place of its defaults."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.access import PROBES
from api.examples import example_of
from api.problems import MEDIA_TYPE, TITLES, ProblemDocument, status_title
from api.roles import NEEDED, V1, Door, Need, Reach
from underfoot import __version__

_DESCRIPTION = f"""脚底下的安全: what a city's sensors report and what became of it; acknowledging and closing alarms.

Every call but `/healthz`, `/readyz` and logging in needs `Authorization: Bearer <key>`, a key (`underfoot keys create`)
or a person's access token (`POST /api/v1/session`); lists show what lies in the caller's areas and units. Times are
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
        "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-underfoot", "description": "A browser's session"},
        "vendor": {"type": "http", "scheme": "basic", "description": "A vendor's account (docs/push.md)"},
        "platform": {
            "type": "apiKey",
            "in": "header",
            "name": "x-tif-signature",
            "description": "A city platform's signature, as the sink's configuration has it (docs/platforms.md)",
        },
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


def _security(need: Need) -> tuple[list[dict[str, list[str]]], str]:
    if need.role is None:
        return [], "Needs no key."
    if isinstance(need.role, Door):
        return [{need.role.value: []}], f"Needs the account of a **{need.role.value}**."
    others = "".join(f" or **{role.value}**" for role in sorted(need.also))
    return [
        {"key": []},
        {"cookie": []},
    ], f"Needs the role **{need.role.value}**{others}. {_REACHES[need.reach]}".strip()


_REACHES = {
    Reach.open: "",
    Reach.same: "",
    Reach.own: "Of the caller's own.",
    Reach.within: "Only of what lies in the caller's areas and maintenance units.",
    Reach.whole: "Only for who has the whole city.",
}


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
    need = NEEDED[method.upper(), path]
    if need.role is not None or path.startswith(f"{V1}/session"):
        statuses |= {401, 403}
    if path not in PROBES and not isinstance(need.role, Door):
        statuses.add(429)
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
    429: "Too many calls in a short time: again in 2 s.",
    500: "The log has it under 3f9c2b7a1d20.",
    503: "The database does not answer in time.",
}

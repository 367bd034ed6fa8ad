"""The OpenAPI document is valid, complete, and its examples are what it describes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from jsonschema import Draft202012Validator

from api.app import create_app
from api.examples import NoExampleError, example_of
from api.problems import MEDIA_TYPE, TITLES
from api.roles import NEEDED, Door, Reach
from underfoot.settings import load


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = create_app(load(database_url="postgresql://nobody@127.0.0.1:1/none", mqtt_url="mqtt://127.0.0.1:1"))
    return app.openapi()


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield path, method.upper(), operation


def _schemas(node: Any) -> Iterator[dict[str, Any]]:
    """Every schema of the document, wherever it stands."""
    if isinstance(node, dict):
        if isinstance(node.get("schema"), dict):
            yield node["schema"]
        for part in node.values():
            yield from _schemas(part)
    elif isinstance(node, list):
        for part in node:
            yield from _schemas(part)


def _resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    return schema | {"components": document["components"]}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for part in node.values():
            yield from _references(part)
    elif isinstance(node, list):
        for part in node:
            yield from _references(part)


def test_it_is_an_openapi_document(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPI.model_validate(document)
    for schema in [*_schemas(document), *document["components"]["schemas"].values()]:
        Draft202012Validator.check_schema(schema)
    for reference in _references(document):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in document["components"][kind], reference


def test_it_has_every_route_and_no_other(document: dict[str, Any]) -> None:
    # An alarm's page and the log-in page are for people's eyes.
    pages = {(method, path) for method, path in NEEDED if path.startswith(("/a/", "/alarms/", "/login"))}
    assert {(method, path) for path, method, _ in _operations(document)} == set(NEEDED) - pages


def test_every_operation_is_named_summed_up_and_secured(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, _, operation in _operations(document)]
    assert len(names) == len(set(names))
    for path, method, operation in _operations(document):
        assert operation["summary"], path
        assert len(operation["description"]) > 20, path
        need = NEEDED[method, path]
        schemes = [] if need.role is None else [need.role.value] if isinstance(need.role, Door) else ["key", "cookie"]
        assert operation["security"] == [{scheme: []} for scheme in schemes], path
        assert set(schemes) <= document["components"]["securitySchemes"].keys()
        named = [] if need.role is None else [need.role.value, *(role.value for role in need.also)]
        assert all(name in operation["description"] for name in named), path


def test_every_operation_has_examples_that_are_valid(document: dict[str, Any]) -> None:
    for path, method, operation in _operations(document):
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        bodies += operation["responses"].values()
        for body in bodies:
            assert body["content"], (method, path)
            for media_type, content in body["content"].items():
                validator = Draft202012Validator(_resolved(document, content["schema"]))
                assert validator.is_valid(content["example"]), (method, path, media_type)


def test_every_parameter_says_what_it_is_and_its_examples_are_valid(document: dict[str, Any]) -> None:
    for path, _, operation in _operations(document):
        for parameter in operation.get("parameters", []):
            assert parameter["description"], (path, parameter["name"])
            schema = _resolved(document, parameter["schema"])
            for example in [*parameter["schema"].get("examples", []), *parameter.get("examples", [])]:
                assert Draft202012Validator(schema).is_valid(example), (path, parameter["name"], example)


def test_every_operation_tells_its_problems(document: dict[str, Any]) -> None:
    statuses = {status for status, _ in TITLES.values()}
    for path, method, operation in _operations(document):
        told = {int(status): answer for status, answer in operation["responses"].items() if int(status) >= 400}
        expected = {500}
        expected |= {401, 403} if NEEDED[method, path].role is not None else set()
        expected |= {429} if NEEDED[method, path].reach is not Reach.open else set()
        expected |= {404} if "{" in path else set()
        expected |= {422} if operation.get("parameters") else set()
        expected |= {413, 422, 400} if "requestBody" in operation else set()
        expected |= {503} if path != "/healthz" else set()
        assert expected <= set(told) <= statuses, (method, path)
        for status, answer in told.items():
            [media_type] = answer["content"]
            assert media_type == MEDIA_TYPE
            assert answer["content"][media_type]["example"]["status"] == status


def test_a_field_without_an_example_is_named() -> None:
    schemas = {"Thing": {"type": "object", "properties": {"size": {"type": "integer"}}}}
    with pytest.raises(NoExampleError, match=r"Thing\.size has no example"):
        example_of({"$ref": "#/components/schemas/Thing"}, schemas, "a call")

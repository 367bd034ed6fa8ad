"""Examples for the OpenAPI document, put together from the examples that each field carries."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


class NoExampleError(Exception):
    """A field has no example, and none follows from its type."""


def example_of(schema: Schema, schemas: dict[str, Schema], where: str) -> Any:
    """A value that `schema` describes; `where` names it for whoever forgot its example."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return example_of(schemas[name], schemas, name)
    if schema.get("examples"):
        return schema["examples"][0]
    for given in ("const", "default"):
        if given in schema:
            return schema[given]
    if schema.get("enum"):
        return schema["enum"][0]
    if "anyOf" in schema:
        return _of_any(schema["anyOf"], schemas, where)
    match schema.get("type"):
        case "object" if "properties" in schema:
            return {name: example_of(part, schemas, f"{where}.{name}") for name, part in schema["properties"].items()}
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return {"tilt_deg": example_of(schema["additionalProperties"], schemas, where)}
        case "array":
            return [example_of(schema["items"], schemas, where)]
        case "boolean":
            return True
        case "null":
            return None
    raise NoExampleError(f"{where} has no example")


def _of_any(alternatives: list[Schema], schemas: dict[str, Schema], where: str) -> Any:
    """Of what may be one of several: the first that has an example; null is the last resort."""
    for alternative in alternatives:
        if alternative.get("type") != "null":
            try:
                return example_of(alternative, schemas, where)
            except NoExampleError:
                continue
    raise NoExampleError(f"{where} has no example")

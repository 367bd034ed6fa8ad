"""What every part of a city's configuration begins with: it knows its settings, and names those that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _only_known(cls, given: Any) -> Any:
        """Before pydantic's own check, which does not say what there is."""
        if isinstance(given, Mapping):
            names = [field.alias or name for name, field in cls.model_fields.items()]
            unknown = [name for name in given if name not in names and name not in cls.model_fields]
            if unknown:
                raise ValueError(f"there is no setting {', '.join(map(repr, unknown))}; there are {', '.join(names)}")
        return given


def complaint(error: ValidationError, where: str) -> str:
    """What is wrong, with its path and value, in one line each."""
    return "\n".join(
        f"{'.'.join([where, *map(str, item['loc'])])}{_value(item['input'])}: {item['msg']}" for item in error.errors()
    )


def _value(given: Any) -> str:
    return "" if isinstance(given, Mapping) else f" = {given!r}"

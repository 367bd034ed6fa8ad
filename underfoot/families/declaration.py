"""How a family is declared: one pydantic model whose fields carry unit, range, resolution and Chinese label.

The family's table, its COPY columns, its validation, its rules' vocabulary, its API schema, its simulator and its
Grafana field configuration are all derived from that one declaration.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ColumnType = Literal["real", "double precision", "boolean", "smallint"]


class Values(BaseModel):
    """The values of one report of a family. Every field is optional; unknown fields are kept as extras."""

    model_config = ConfigDict(extra="allow", frozen=True)


def measured(
    label: str, unit: str, low: float, high: float, resolution: float, *, precise: bool = False, about: str = ""
) -> Any:
    """Declare a measured quantity.

    `label` is what operators read (Chinese), `unit` its unit as shown, [`low`, `high`] the physically possible range in
    that unit (outside it the sensor is wrong, and the value is set aside), `resolution` the sensor's step.
    `precise` keeps 15 digits instead of 7 (counters).
    """
    return Field(
        default=None,
        ge=low,
        le=high,
        allow_inf_nan=False,
        title=label,
        description=about or None,
        json_schema_extra={"unit": unit, "resolution": resolution, "precise": precise},
    )


def state(label: str, *, about: str = "") -> Any:
    """Declare a yes/no state, or an enumeration (annotated with an IntEnum whose numbers are what is stored)."""
    return Field(default=None, title=label, description=about or None, json_schema_extra={"unit": ""})


@dataclass(frozen=True)
class Column:
    """One field of a family as its table, its rules and its readers see it. `low`, `high` are in `unit`."""

    name: str
    label: str
    unit: str
    type: ColumnType
    low: float | None
    high: float | None
    resolution: float | None
    choices: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """A kind of device: `name` in topics and tables, `label` for people, `model` its declaration.

    `default_interval_s` is how often such a device reports when the ledger does not say (seconds);
    `asset_kinds` are the 部件 classes (first digits of the class code) such a device is usually fixed to.
    """

    name: str
    label: str
    model: type[Values]
    default_interval_s: int
    asset_kinds: tuple[str, ...]

    @property
    def table(self) -> str:
        return f"report_{self.name}"

    @property
    def latest_table(self) -> str:
        """One row a device; the view `device_latest` shows those of all families alike."""
        return f"latest_{self.name}"

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        return tuple(_column(name, self.model) for name in self.model.model_fields)

    @cached_property
    def column(self) -> dict[str, Column]:
        return {column.name: column for column in self.columns}

    @cached_property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.model.model_fields)


def _column(name: str, model: type[Values]) -> Column:
    info = model.model_fields[name]
    extra = typing.cast("dict[str, Any]", info.json_schema_extra)
    kind = _inner_type(info.annotation)
    bounds = {
        attribute: getattr(constraint, attribute)
        for constraint in info.metadata
        for attribute in ("ge", "le")
        if hasattr(constraint, attribute)
    }
    column_type: ColumnType
    choices: dict[str, int] = {}
    if kind is bool:
        column_type = "boolean"
    elif isinstance(kind, type) and issubclass(kind, IntEnum):
        column_type, choices = "smallint", {member.name: member.value for member in kind}
    elif kind is int:
        column_type = "smallint"
    elif kind is float:
        column_type = "double precision" if extra.get("precise") else "real"
    else:
        raise TypeError(f"{model.__name__}.{name}: a family's field is float, int, bool or an IntEnum, not {kind}")
    return Column(
        name=name,
        label=info.title or name,
        unit=extra["unit"],
        type=column_type,
        low=bounds.get("ge"),
        high=bounds.get("le"),
        resolution=extra.get("resolution"),
        choices=choices,
    )


def _inner_type(annotation: Any) -> Any:
    """`float` of `float | None`."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        members: Sequence[Any] = [member for member in typing.get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return members[0]
    return annotation

"""Payloads that Python reads and people would not: an object that says a name twice, and nesting without end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any


class _Contradiction(dict[str, Any]):
    """An object that says `name` twice, with different values: nobody can tell which of them is meant. Keeps both."""

    def __init__(self, name: str, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.name = name
        self._pairs = pairs

    def items(self) -> Any:
        return self._pairs


def more_names(payload: bytes, raw: bytes) -> bool:
    """Whether a payload may have more names than were taken from it; at no cost where it is canonical but for order."""
    return len(payload) != len(raw) and payload.count(b'":') + payload.count(b'" :') > raw.count(b'":')


def again(payload: bytes) -> Any:
    """Decoded once more, with a `_Contradiction` for each object that contradicts itself."""

    def judged(pairs: list[tuple[str, Any]]) -> Any:
        said: dict[str, Any] = {}
        for name, value in pairs:
            if name in said and said[name] != value:
                return _Contradiction(name, pairs)
            said[name] = value
        return said

    return json.loads(payload, object_pairs_hook=judged)


def contradiction(value: Any) -> str | None:
    """The name that stands twice anywhere in it."""
    if isinstance(value, _Contradiction):
        return value.name
    inner: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((name for part in inner if (name := contradiction(part)) is not None), None)


def said_twice(name: str) -> str:
    return f"{name!r} stands there twice with different values"


def deeper_than(value: Any, levels: int) -> bool:
    """Whether objects and arrays are nested more than `levels` deep; without recursion of its own."""
    layer = [value]
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not layer:
            return False
    return any(isinstance(inner, (dict, list)) for inner in layer)

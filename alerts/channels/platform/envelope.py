"""What stands around a platform's message: its own head, a list of events, the message as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from alerts.channels.platform.fields import Facts
from alerts.channels.platform.template import Part, Written, compiled

BODY = "$body"
BODY_TEXT = "$body_text"


class Envelope:
    """`given` is a template in which `$body` or `$body_text` stands once."""

    def __init__(self, given: Any) -> None:
        found = _count(given)
        if found != 1:
            raise ValueError(f"$body (or $body_text) must stand in it once, not {found} times")
        self._given = _compiled(given)
        self.is_object = given == BODY or isinstance(given, Mapping)

    def around(self, body: dict[str, Any], facts: Facts, written: Written) -> Any:
        return _filled(self._given, body, facts, written)


def _count(given: Any) -> int:
    if isinstance(given, Mapping):
        return sum(map(_count, given.values()))
    if isinstance(given, list):
        return sum(map(_count, given))
    return int(given in (BODY, BODY_TEXT))


def _compiled(given: Any, where: str = "") -> Any:
    """Parts that have the body below them stay as they are; the others are templates."""
    if given in (BODY, BODY_TEXT):
        return given
    if _count(given) == 0:
        return compiled(given, where)
    if isinstance(given, Mapping):
        return {name: _compiled(part, f"{where}.{name}" if where else str(name)) for name, part in given.items()}
    return [_compiled(part, f"{where}.{n}" if where else str(n)) for n, part in enumerate(given)]


def _filled(given: Any, body: dict[str, Any], facts: Facts, written: Written) -> Any:
    if isinstance(given, Part):
        return given.filled(facts, written)
    if isinstance(given, Mapping):
        return {name: _filled(part, body, facts, written) for name, part in given.items()}
    if isinstance(given, list):
        return [_filled(part, body, facts, written) for part in given]
    return body if given == BODY else orjson.dumps(body).decode()

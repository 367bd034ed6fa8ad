"""Opaque cursors: where the next page of a list begins, tied to the question that the list answers.

A page begins after the last row of the one before it (by the list's order, which nothing changes afterwards), never at
an offset: rows that come in meanwhile neither repeat nor hide others.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import datetime
from typing import Any

import orjson
from pydantic import BaseModel

from api.problems import invalid

Position = tuple[int | datetime | str, ...]


def issue(question: BaseModel, subject: str, position: Position) -> str:
    """The cursor that continues `question` about `subject` after `position`."""
    body = orjson.dumps([_fingerprint(question, subject), *position])
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()


def redeem(question: BaseModel, subject: str, cursor: str, shape: tuple[type[Any], ...]) -> tuple[Any, ...]:
    """The position in `cursor`, whose parts have the types of `shape`."""
    try:
        parts = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise _bad(cursor, "not a cursor of this API; take `next` of the page before, unchanged") from None
    if not isinstance(parts, list) or len(parts) != len(shape) + 1:
        raise _bad(cursor, "not a cursor of this list; take `next` of the page before, unchanged")
    if parts[0] != _fingerprint(question, subject):
        raise _bad(cursor, "it belongs to another query; keep every other parameter as it was, or leave the cursor out")
    try:
        return tuple(_part(kind, value) for kind, value in zip(shape, parts[1:], strict=True))
    except ValueError:
        raise _bad(cursor, "not a cursor of this list; take `next` of the page before, unchanged") from None


def _fingerprint(question: BaseModel, subject: str) -> str:
    asked = question.model_dump(mode="json", exclude={"cursor", "limit", "format"}, exclude_defaults=True)
    return hashlib.sha256(orjson.dumps([subject, asked], option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]


def _part(kind: type[Any], value: object) -> Any:
    if kind is datetime and isinstance(value, str):
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError(value)
        return moment
    if kind is int and isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    if kind is str and isinstance(value, str) and "\x00" not in value:
        return value
    raise ValueError(value)


def _bad(cursor: str, message: str) -> Exception:
    return invalid("cursor", cursor, message)

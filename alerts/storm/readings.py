"""What a proof says of the reading behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain_field(proof: Mapping[str, Any]) -> str | None:
    """The field of which it is a plain reading, that others of the device can be held against; None for a sum, a slope,
    a difference from a baseline, or a state."""
    field, value = proof.get("field"), proof.get("value")
    plain = (proof.get("values") or {}).get(field)
    return field if field and plain is not None and not isinstance(plain, bool) and plain == value else None


def sign(proof: Mapping[str, Any]) -> int:
    """What makes larger worse: −1 where the rule looks below its limit."""
    value, limit = proof.get("value"), proof.get("limit")
    return -1 if value is not None and limit is not None and value < limit else 1

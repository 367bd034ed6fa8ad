"""A mapping's MQTT topics: `/city/{city}/well/status/{device}`, where a name in braces is one level, whatever it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import AfterValidator

_LONGEST = 256
_NAMED = re.compile(r"\{([a-z][a-z0-9_]*)\}")

RESERVED = ("underfoot/#", "http/#", "sl651/#")
"""What Underfoot's own topics are under, on the broker or as the name of another way in."""


def _pattern(text: str) -> str:
    if not text or len(text) > _LONGEST or any(character in text for character in "\0\r\n"):
        raise ValueError(f"topic {text!r}: 1 to {_LONGEST} characters")
    levels = text.split("/")
    if "#" in text:
        raise ValueError(f"topic {text!r}: # has no bounds; name each level, or write + where it may be anything")
    if text.startswith("$"):
        raise ValueError(f"topic {text!r}: what begins with $ is the broker's own")
    names = []
    for level in levels:
        named = _NAMED.fullmatch(level)
        if named:
            names.append(named[1])
        elif level != "+" and any(character in level for character in "{}+"):
            raise ValueError(f"topic {text!r}: {level!r} is no level; a name in braces stands for a whole level")
    if len(set(names)) < len(names):
        raise ValueError(f"topic {text!r}: a name stands there twice")
    if not any(level and level != "+" and not _NAMED.fullmatch(level) for level in levels):
        raise ValueError(f"topic {text!r}: at least one level must be fixed")
    for reserved in RESERVED:
        if overlap(topic_filter(text), reserved):
            raise ValueError(f"topic {text!r}: it overlaps {reserved}, which is Underfoot's own")
    return text


Pattern = Annotated[str, AfterValidator(_pattern)]


def names_in(pattern: str) -> set[str]:
    return set(_NAMED.findall(pattern))


def topic_filter(pattern: str) -> str:
    """The MQTT filter that a session subscribes to for it."""
    return "/".join("+" if _NAMED.fullmatch(level) else level for level in pattern.split("/"))


def parts_of(pattern: str, levels: Sequence[str]) -> dict[str, str] | None:
    """The topic's named parts, or None where the topic (its levels) is another."""
    wanted = pattern.split("/")
    if len(wanted) != len(levels):
        return None
    parts = {}
    for level, given in zip(wanted, levels, strict=True):
        named = _NAMED.fullmatch(level)
        if named:
            parts[named[1]] = given
        elif level not in ("+", given):
            return None
    return parts


def overlap(one: str, other: str) -> bool:
    """Whether a topic exists that both MQTT filters take."""
    left, right = one.split("/"), other.split("/")
    for mine, theirs in zip(left, right, strict=False):
        if "#" in (mine, theirs):
            return True
        if mine != theirs and "+" not in (mine, theirs):
            return False
    if len(left) == len(right):
        return True
    longer, shorter = (left, right) if len(left) > len(right) else (right, left)
    return longer[len(shorter)] == "#" and len(longer) == len(shorter) + 1


def overlapping(one: Iterable[str], others: Iterable[str]) -> tuple[str, str] | None:
    """The first two of these patterns that a topic could be of both of."""
    known = list(others)
    for pattern in one:
        for other in known:
            if overlap(topic_filter(pattern), topic_filter(other)):
                return pattern, other
    return None

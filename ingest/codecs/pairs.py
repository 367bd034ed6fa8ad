"""Text of keys and values: `tilt=22.4;battery=89`."""

from __future__ import annotations

from ingest.codecs.layout import FrameError
from ingest.reasons import Rejection


def pairs(text: str, between: str, equals: str) -> dict[str, str]:
    """Each key with its value. A part without `equals` is a key with an empty value: nothing is thrown away."""
    found: dict[str, str] = {}
    for part in text.split(between):
        if not part.strip():
            continue
        key, _, value = part.partition(equals)
        key, value = key.strip(), value.strip()
        if found.setdefault(key, value) != value:
            raise FrameError(Rejection.undecodable, f"{key!r} stands there twice with different values")
    return found

"""The city's own time: how commands read a moment that somebody types."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

CITY_ZONE = ZoneInfo("Asia/Shanghai")


def read_moment(text: str) -> datetime:
    """A time as people type it; without a zone it is the city's. A `ValueError` says what is needed."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r}: a time like 2026-07-01 or 2026-07-01T21:38:00 is needed") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=CITY_ZONE)

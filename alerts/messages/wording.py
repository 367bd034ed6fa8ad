"""How messages word things: in one line, numbers as people say them, times by the city's clock.

Used by every kind of message (alerts/messages/notice.py, alerts/storm/message.py).
"""

from __future__ import annotations

from datetime import datetime

from underfoot.city_time import CITY_ZONE

LONGEST = 70
"""Characters of a message before its link."""

_INVISIBLE = dict.fromkeys((*range(0x20), 0x7F, *range(0x200B, 0x2010), *range(0x2028, 0x202F), 0xFEFF), " ")


def plain(text: str) -> str:
    """One line, without what does not show."""
    return " ".join(text.translate(_INVISIBLE).split())


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def kept_end(text: str, room: int) -> str:
    """The end of a place is its corner: what goes first is its beginning."""
    if len(text) <= room:
        return text
    return f"…{text[len(text) - room + 1 :]}" if room >= 3 else ""


def number(value: float) -> str:
    places = 0 if abs(value) >= 10 else 1 if abs(value) >= 1 else 2
    return f"{value:.{places}f}".rstrip("0").rstrip(".") if places else f"{value:.0f}"


def city(moment: str) -> datetime:
    """An RFC 3339 time as the city's."""
    return datetime.fromisoformat(moment).astimezone(CITY_ZONE)


def clock(moment: datetime, today: datetime) -> str:
    """By the clock; the day only where it is not the one on which the message was made."""
    days = (moment.date() - today.date()).days
    day = {0: "", 1: "次日", -1: "昨日"}.get(days, f"{moment.month}月{moment.day}日")
    return f"{day}{moment:%H:%M}"

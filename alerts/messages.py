"""What people read on a wet phone at night: where, what, the first act, the tool, by when, one link. Chinese.

At most 70 characters before the link. When it gets tight, the least useful goes first: since when, the tool, the
reading; the place keeps its end, which is the corner; severity, danger and act always stand. No coordinates, no ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.snapshot import CrewOrder, Snapshot
from underfoot.alarms import REASON_LABELS, Reason, Severity
from underfoot.city_time import CITY_ZONE

LONGEST = 70
LONGEST_TITLE = 20
LONGEST_ACT = 24
"""A rule's title and act are to fit in these; a longer one is cut."""

_PLACE_WORTH_HAVING = 16


@dataclass(frozen=True, slots=True)
class Message:
    """`text` ends where the link is to follow."""

    text: str
    link: str

    def __str__(self) -> str:
        return self.text + self.link


def message(snapshot: Snapshot, link: str) -> Message:
    match snapshot["notice"]:
        case "clear":
            return Message(_end(snapshot), link)
        case "raise" | "change":
            return Message(_hazard(snapshot), link)


def city_time(moment: str) -> str:
    """An RFC 3339 time as platforms and officials write it: the city's, without a zone."""
    return _city(moment).strftime("%Y-%m-%d %H:%M:%S")


def asset_place(snapshot: Snapshot) -> str:
    """Where it is, as long as it takes."""
    address, name = _address_and_name(snapshot)
    return _joined(address, name)


def description(snapshot: Snapshot) -> str:
    """A sentence for a case's record, of any length."""
    parts = [asset_place(snapshot), _reading(snapshot)]
    limit = (snapshot["proof"] or {}).get("limit")
    if parts[1] and limit is not None:
        parts[1] += f"（限值{_number(limit)}{(snapshot['proof'] or {}).get('unit', '')}）"
    parts.append(f"{_clock(_city(snapshot['raised_at']), _city(snapshot['raised_received_at']))}起")
    if snapshot["notice"] != "raise":
        parts.append(_what_changed(snapshot))
    return f"{snapshot['title']}：{'，'.join(part for part in parts if part)}。"


# the three notices ---------------------------------------------------------------------------------------------------


def _hazard(snapshot: Snapshot) -> str:
    order = snapshot["crew"]
    title = _cut(_plain(snapshot["title"]), LONGEST_TITLE)
    head = f"【{Severity(snapshot['severity']).label}】{title}"
    act = _cut(_plain(order["act"]), LONGEST_ACT) if order else ""
    tail = "接单▸" if order else "查看▸"
    since = f"{_clock(_city(snapshot['raised_at']), _city(snapshot['raised_received_at']))}起"
    tool = _tool(order)
    deadline = _deadline(snapshot)
    reading = _reading(snapshot)
    changed = _what_changed(snapshot) if snapshot["notice"] == "change" else ""

    def text(place: str, *optional: str) -> str:
        facts = "，".join(part for part in (place, *(f for f in (reading, changed, since) if f in optional)) if part)
        orders = "，".join(part for part in (act, *(o for o in (tool, deadline) if o in optional)) if part)
        return f"{head}{'｜' if facts else ''}{facts}。{orders}{'。' if orders else ''}{tail}"

    # From everything to the bare minimum.
    return _fitted(
        snapshot,
        text,
        [
            (reading, changed, since, tool, deadline),
            (reading, changed, tool, deadline),
            (reading, changed, deadline),
            (changed, deadline),
            (deadline,),
            (),
        ],
    )


def _end(snapshot: Snapshot) -> str:
    title = _cut(_plain(snapshot["title"]), LONGEST_TITLE)
    ended = snapshot["cleared_at"] or snapshot["event_at"]
    how = f"{_city(ended):%H:%M}{_HOW_IT_ENDED.get(snapshot['reason']) or _what_changed(snapshot)}"
    return _fitted(snapshot, lambda place, *_: f"【解除】{title}｜{place}{'，' if place else ''}{how}。查看▸", [()])


_HOW_IT_ENDED: dict[str, str] = dict.fromkeys(
    (Reason.below_limit, Reason.clear_in_silence, Reason.newer_report_normal), "恢复正常"
)
"""A crew need not know by what proof."""


def _fitted(snapshot: Snapshot, text: Callable[..., str], variants: list[tuple[str, ...]]) -> str:
    address, name = _address_and_name(snapshot)
    whole = _joined(address, name)
    for number, optional in enumerate(variants):
        room = LONGEST - len(text("", *optional)) - 1
        if room >= min(len(whole), _PLACE_WORTH_HAVING) or number == len(variants) - 1:
            return text(_place(address, name, room), *optional)
    raise ValueError("no variant of the message was given")


# the parts -----------------------------------------------------------------------------------------------------------


def _what_changed(snapshot: Snapshot) -> str:
    match snapshot["reason"]:
        case Reason.severity_rose:
            return f"级别升为{Severity(snapshot['severity']).label}"
        case Reason.severity_fell:
            return f"级别降为{Severity(snapshot['severity']).label}"
        case reason:
            return REASON_LABELS[Reason(reason)] if reason in set(Reason) else ""


def _reading(snapshot: Snapshot) -> str:
    proof = snapshot["proof"] or {}
    value, field = proof.get("value"), proof.get("field", "")
    if value is None or isinstance((proof.get("values") or {}).get(field), bool):
        return ""  # a state says no more than the title does
    label = _plain(proof.get("label", ""))
    return f"{label}{' ' if label[-1:].isascii() else ''}{_number(value)}{_plain(proof.get('unit', ''))}"


def _number(value: float) -> str:
    places = 0 if abs(value) >= 10 else 1 if abs(value) >= 1 else 2
    return f"{value:.{places}f}".rstrip("0").rstrip(".") if places else f"{value:.0f}"


def _tool(order: CrewOrder | None) -> str:
    tool = _plain(order["tool"]) if order else ""
    if not order or not tool or tool in order["act"]:
        return ""
    return tool if tool[0] in "带调携" else f"带{tool}"


def _deadline(snapshot: Snapshot) -> str:
    order = snapshot["crew"]
    if not order or order["make_safe_min"] is None:
        return ""
    received = _city(snapshot["raised_received_at"])
    return f"{_clock(received + timedelta(minutes=order['make_safe_min']), received)}前{_cut(_plain(order['end']), 12)}"


def _clock(moment: datetime, today: datetime) -> str:
    """By the clock; the day only where it is not the one on which the message was made."""
    days = (moment.date() - today.date()).days
    day = {0: "", 1: "次日", -1: "昨日"}.get(days, f"{moment.month}月{moment.day}日")
    return f"{day}{moment:%H:%M}"


def _city(moment: str) -> datetime:
    return datetime.fromisoformat(moment).astimezone(CITY_ZONE)


# the place -----------------------------------------------------------------------------------------------------------


def _address_and_name(snapshot: Snapshot) -> tuple[str, str]:
    asset, area, device = snapshot["asset"], snapshot["area"], snapshot["device"]
    area_name = _plain(area["name"]) if area else ""
    if asset is None:
        return area_name, ""
    ids = {asset["asset_code"], device["device_id"] if device else ""} - {""}
    address, name = (_without(ids, _plain(asset[key])) for key in ("address", "name"))
    # The crew knows its own district: what stands before and at the area's name is left out.
    before, found, after = address.partition(area_name) if area_name else (address, "", "")
    if found and len(before) <= 12 and after:
        address = after
    if address and address in name:
        address = ""
    elif name and name in address:
        name = ""
    return (address, name) if address or name else (area_name, "")


def _without(ids: set[str], text: str) -> str:
    for known in ids:
        text = text.replace(known, "")
    return _LONG_NUMBER.sub("", text).strip(" ，,-_#")


_LONG_NUMBER = re.compile(r"[0-9A-Za-z_-]*[0-9]{8,}[0-9A-Za-z_-]*|[0-9]{1,3}\.[0-9]{4,}")
"""Codes, ids and coordinates, which ledgers have in their names and addresses."""


def _joined(address: str, name: str) -> str:
    return f"{address} {name}" if address and name else address or name


def _place(address: str, name: str, room: int) -> str:
    whole = _joined(address, name)
    if len(whole) <= room:
        return whole
    if address and name and room - len(name) - 1 >= 8:
        return _joined(_kept_end(address, room - len(name) - 1), name)
    return _kept_end(address or name, room)


def _kept_end(text: str, room: int) -> str:
    if len(text) <= room:
        return text
    return f"…{text[len(text) - room + 1 :]}" if room >= 3 else ""


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


_INVISIBLE = dict.fromkeys((*range(0x20), 0x7F, *range(0x200B, 0x2010), *range(0x2028, 0x202F), 0xFEFF), " ")


def _plain(text: str) -> str:
    """One line, without what does not show."""
    return " ".join(text.translate(_INVISIBLE).split())

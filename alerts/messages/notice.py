"""What people read on a wet phone at night: where, what, the first act, the tool, by when, one link. Chinese.

At most 70 characters before the link. When it gets tight, the least useful goes first: since when, the tool, the
reading; the place keeps its end, which is the corner; severity, danger and act always stand. No coordinates, no ids.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from alerts.duty.message import escalation
from alerts.messages.casework import casework
from alerts.messages.correction import corrected, correction
from alerts.messages.places import address_and_name, fitted, joined
from alerts.messages.together import alike, are_alike, mixed
from alerts.messages.wording import LONGEST, city, clock, cut, number, plain
from alerts.record.snapshot import CrewOrder, Snapshot
from alerts.storm.message import digest, ending, sentence
from underfoot.alarms import REASON_LABELS, Reason, Severity
from underfoot.clock import CLOCK

LONGEST_TITLE = 20
LONGEST_ACT = 24
"""A rule's title and act are to fit in these; a longer one is cut."""

_PLACE_WORTH_HAVING = 16
_SYMBOL = re.compile(r" [A-Za-z/]+$")
"""What engineers call it beside its name: 充满度 h/D, 信号强度 RSRP."""


@dataclass(frozen=True, slots=True)
class Message:
    """`text` ends where the link is to follow."""

    text: str
    link: str

    def __str__(self) -> str:
        return self.text + self.link


def message(snapshot: Snapshot, link: str, beside: Sequence[Snapshot] = ()) -> Message:
    """`beside`: what else the message tells, where it is about several alarms."""
    if beside:
        told = (snapshot, *beside)
        if are_alike(told) and not (snapshot["proof"] or {}).get("summary"):
            places = [_address_and_name(one) for one in told]
            worst = max(told, key=lambda one: one["severity"])
            return Message(alike(told, places, _act(worst), _deadline(worst)), link)
        return Message(mixed(told, _address_and_name, CLOCK.now()), link)
    summary = (snapshot["proof"] or {}).get("summary")
    match snapshot["notice"]:
        case "raise" | "change" if summary is not None:
            return Message(digest(summary), link)
        case "clear" if summary is not None:
            return Message(ending(summary), link)
        case "clear":
            return Message(_end(snapshot), link)
        case "raise" | "change":
            return Message(_hazard(snapshot), link)
        case "correct":
            return Message(correction(snapshot, _address_and_name(snapshot)), link)
        case "escalate":
            return Message(escalation(snapshot, _address_and_name(snapshot)), link)
        case "case":
            return Message(casework(snapshot, _address_and_name(snapshot)), link)
        case "cancel" | "progress":
            return Message(cut(description(snapshot), LONGEST), link)


def city_time(moment: str) -> str:
    """An RFC 3339 time as platforms and officials write it: the city's, without a zone."""
    return city(moment).strftime("%Y-%m-%d %H:%M:%S")


def asset_place(snapshot: Snapshot) -> str:
    """Where it is, as long as it takes."""
    address, name = _address_and_name(snapshot)
    return joined(address, name)


def deadline(snapshot: Snapshot) -> str:
    """By when it is to be made safe, by the clock; empty where no crew is told, or no time set."""
    order = snapshot["crew"]
    if not order or order["make_safe_min"] is None:
        return ""
    received = city(snapshot["raised_received_at"])
    return clock(received + timedelta(minutes=order["make_safe_min"]), received)


def headline(snapshot: Snapshot, beside: Sequence[Snapshot] = ()) -> str:
    """What it is about in a few words: 井盖打开, 灯具不亮10处, 井盖打开已解除."""
    told = (snapshot, *beside)
    if beside and not are_alike(told):
        return f"告警汇总{len(told)}条"
    count = f"{len(told)}处" if beside else ""
    return f"{cut(plain(snapshot['title']), LONGEST_TITLE)}{count}{'已解除' if snapshot['notice'] == 'clear' else ''}"


def description(snapshot: Snapshot) -> str:
    """A sentence for a case's record, of any length."""
    summary = (snapshot["proof"] or {}).get("summary")
    if summary is not None:
        return f"{snapshot['title']}：{sentence(summary)}。"
    parts = [asset_place(snapshot), _reading(snapshot)]
    limit = (snapshot["proof"] or {}).get("limit")
    if parts[1] and limit is not None:
        parts[1] += f"（限值{number(limit)}{(snapshot['proof'] or {}).get('unit', '')}）"
    parts.append(f"{clock(city(snapshot['raised_at']), city(snapshot['raised_received_at']))}起")
    if snapshot["notice"] == "correct":
        parts.append(corrected(snapshot))
    elif snapshot["notice"] != "raise":
        parts.append(_what_changed(snapshot))
    return f"{snapshot['title']}：{'，'.join(part for part in parts if part)}。"


# the three notices ---------------------------------------------------------------------------------------------------


def _hazard(snapshot: Snapshot) -> str:
    order = snapshot["crew"]
    title = cut(plain(snapshot["title"]), LONGEST_TITLE)
    head = f"【{Severity(snapshot['severity']).label}】{title}"
    act = _act(snapshot)
    tail = "接单▸" if order else "查看▸"
    since = f"{clock(city(snapshot['raised_at']), city(snapshot['raised_received_at']))}起"
    tool = "" if _watch(snapshot) else _tool(order)
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
    title = cut(plain(snapshot["title"]), LONGEST_TITLE)
    ended = snapshot["cleared_at"] or snapshot["event_at"]
    how = f"{city(ended):%H:%M}{_HOW_IT_ENDED.get(snapshot['reason']) or _what_changed(snapshot)}"
    return _fitted(snapshot, lambda place, *_: f"【解除】{title}｜{place}{'，' if place else ''}{how}。查看▸", [()])


_HOW_IT_ENDED: dict[str, str] = dict.fromkeys(
    (
        Reason.below_limit,
        Reason.clear_in_silence,
        Reason.newer_report_normal,
        Reason.condition_over,
        Reason.blockage_over,
    ),
    "恢复正常",
)
"""A crew need not know by what proof."""


def _fitted(snapshot: Snapshot, text: Callable[..., str], variants: list[tuple[str, ...]]) -> str:
    address, name = _address_and_name(snapshot)
    whole = joined(address, name)
    for nth, optional in enumerate(variants, start=1):
        room = LONGEST - len(text("", *optional)) - 1
        if room >= min(len(whole), _PLACE_WORTH_HAVING) or nth == len(variants):
            return text(fitted(address, name, room), *optional)
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
    if reading := proof.get("words", {}).get("reading"):
        return plain(reading)
    value, field = proof.get("value"), proof.get("field", "")
    if value is None and snapshot["asset"] is None and snapshot["device"] is None:
        # A failure of Underfoot itself: of what; the error behind it is for the log.
        return cut(plain(proof.get("label", "")).partition("：")[0], LONGEST_ACT)
    if value is None or isinstance((proof.get("values") or {}).get(field), bool):
        return ""  # a state says no more than the title does
    label = _SYMBOL.sub("", plain(proof.get("label", "")))
    return f"{label}{' ' if label[-1:].isascii() else ''}{number(value)}{plain(proof.get('unit', ''))}"


def _act(snapshot: Snapshot) -> str:
    order, words = snapshot["crew"], (snapshot["proof"] or {}).get("words", {})
    return cut(plain(words.get("act") or _watch(snapshot) or order["act"]), LONGEST_ACT) if order else ""


def _watch(snapshot: Snapshot) -> str:
    """What is done while it is not yet bad."""
    order = snapshot["crew"]
    return order.get("watch", "") if order and snapshot["severity"] < Severity.orange else ""


def _tool(order: CrewOrder | None) -> str:
    tool = plain(order["tool"]) if order else ""
    if not order or not tool or tool in order["act"]:
        return ""
    return tool if tool[0] in "带调携" else f"带{tool}"


def _deadline(snapshot: Snapshot) -> str:
    order, by = snapshot["crew"], deadline(snapshot)
    end = "到场" if _watch(snapshot) else cut(plain(order["end"]), 12) if order else ""
    return f"{by}前{end}" if by else ""


def _address_and_name(snapshot: Snapshot) -> tuple[str, str]:
    asset, area, device = snapshot["asset"], snapshot["area"], snapshot["device"]
    words = (snapshot["proof"] or {}).get("words", {})
    return address_and_name(
        asset["address"] if asset else "",
        words.get("place") or (asset["name"] if asset else ""),
        area=area["name"] if area else "",
        codes={asset["asset_code"] if asset else "", device["device_id"] if device else ""} - {""},
    )

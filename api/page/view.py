"""View: what the page of an alarm says, ready for its template. Pure: all follows from facts, reader and moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

from markupsafe import Markup

from alerts.channels.platform.coordinates import Place, to_gcj02
from alerts.messages.places import address_and_name, joined
from alerts.regions.human import by_platform
from api.models.regions import Corrected, state_label
from api.page.case import CaseView, case_view
from api.page.drawings import curve_note, curve_of, map_of
from api.page.facts import Facts
from api.page.members import MembersView, members_view
from api.page.reader import Reader, who
from api.page.record import Line, record
from api.page.safety import Safety, safety
from api.page.told import Told, told
from api.page.why import rows, rule_words, sentences
from api.page.words import SEVERITY_WORDS, at, figure, lasting, left
from underfoot.alarms import Human, Severity
from underfoot.city_time import CITY_ZONE


@dataclass(frozen=True, slots=True)
class Act:
    """What to do first. `until`: of the countdown, while it runs."""

    first: str
    tool: str
    by: str
    left: str
    late: bool
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Seen:
    """`may`: whether a button is there. `said`: who has taken it, or why nobody is to."""

    may: bool
    done: bool
    said: str
    button: str


@dataclass(frozen=True, slots=True)
class Way:
    """Links that lead to a map. Amap's are in GCJ-02, a `geo:` in WGS-84."""

    amap: str
    geo: str


@dataclass(frozen=True, slots=True)
class View:
    title: str
    severity: int
    label: str
    severity_word: str
    over: bool
    state: str
    place: str
    whose: str
    since: str
    notes: tuple[str, ...]
    act: Act | None
    seen: Seen
    safety: Safety | None
    way: Way | None
    map: Markup | None
    curve: Markup | None
    curve_note: str
    why: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    rule: str
    told: tuple[Told, ...]
    case: CaseView | None
    record: tuple[Line, ...]
    members: MembersView | None
    companions: tuple[str, ...]
    number: str
    as_of: str
    now: datetime
    by_link: bool


def view(facts: Facts, reader: Reader, now: datetime, companions: tuple[str, ...] = ()) -> View:
    """`companions`: titles and places of the other alarms that the reader's message told of."""
    episode, severity = facts.episode, Severity(facts.episode["severity"])
    over = episode["cleared_at"] is not None
    return View(
        title=episode["title"],
        severity=severity.value,
        label=severity.label,
        severity_word=SEVERITY_WORDS[severity],
        over=over,
        state="已解除" if over else state_label(episode["condition"]),
        place=_place(facts),
        whose=_whose(facts),
        since=_since(episode, now),
        notes=tuple(_notes(facts, reader, now)),
        act=_act(facts, now),
        seen=_seen(facts, reader, now, len(companions)),
        safety=None if over else safety(facts, now),
        way=_way(facts),
        map=map_of(facts),
        curve=curve_of(facts, now),
        curve_note=curve_note(facts),
        why=sentences(facts, now),
        facts=tuple(rows(facts, now)),
        rule=rule_words(facts),
        told=told(facts.deliveries, facts.named, now, sees_names=reader.sees_names),
        case=case_view(facts.case, now),
        record=record(
            facts.transitions, facts.comments, facts.case_steps, facts.named, now, sees_names=reader.sees_names
        ),
        members=members_view(facts.incident.summary, facts.incident.members, now) if facts.incident else None,
        companions=companions,
        number=f"{episode['alarm_key']}-{episode['episode']}",
        as_of=f"{now.astimezone(CITY_ZONE):%H:%M:%S}",
        now=now,
        by_link=reader.by_link,
    )


# at the head ----------------------------------------------------------------------------------------------------------


def _place(facts: Facts) -> str:
    words = facts.episode["proof"].get("words") or {}
    episode = facts.episode
    if facts.incident is not None:
        return f"{facts.incident.summary['area']} {facts.incident.summary['catchment']}".strip()
    codes = {episode["asset_code"] or "", episode["device_id"] or ""} - {""}
    address, name = address_and_name(
        episode["address"] or "",
        words.get("place") or episode["name"] or "",
        area=facts.episode["district"] or "",
        codes=codes,
    )
    return joined(address, name) or "位置不详"


def _whose(facts: Facts) -> str:
    episode = facts.episode
    parts = [episode["district"] or episode["area_name"] or ""]
    if episode["maintenance_unit"]:
        parts.append(f"养护 {episode['maintenance_unit']}")
    if episode["owner_unit"] and episode["owner_unit"] != episode["maintenance_unit"]:
        parts.append(f"权属 {episode['owner_unit']}")
    if episode["pipe_key"] is not None:
        kind = "污水" if episode["pipe_kind"] == "foul" else "雨水"
        parts.append(f"{kind}管 DN{episode['diameter_mm']:g} 长 {figure(episode['length_m'])} m")
    return " · ".join(part for part in parts if part)


def _since(episode: dict[str, Any], now: datetime) -> str:
    raised, cleared = episode["raised_at"], episode["cleared_at"]
    if cleared is None:
        return f"{at(raised, now)} 起，已 {lasting(now - raised)}"
    return f"{at(raised, now)} 起，{at(cleared, now)} 解除，历时 {lasting(cleared - raised)}"


def _notes(facts: Facts, reader: Reader, now: datetime) -> Iterator[str]:
    episode = facts.episode
    if episode["stale"]:
        yield "设备已离线，以下是它最后一次上报的情况。"
    for one in episode["suppression"] or ():
        until = f"，至 {at(datetime.fromisoformat(one['until']), now)}" if one["until"] else ""
        yield f"现为“{state_label(one['kind'])}”{until}，期间不再通知。"
    corrected = Corrected.of(episode["correction"])
    if corrected is not None:
        yield f"{corrected.verdict_label}（据迟到数据）。"
    if episode["confirmed"] is not None:
        found = "属实" if episode["confirmed"] else "误报"
        by = who(episode["confirmed_by"], facts.named, sees_names=reader.sees_names)
        yield f"{by}已现场核实：{found}。"
    if episode["assigned_to"]:
        yield f"已指派：{who(episode['assigned_to'], facts.named, sees_names=reader.sees_names)}。"


def _act(facts: Facts, now: datetime) -> Act | None:
    """As the message said it: the act that the rule names, or one that fits what was found better."""
    crew = (facts.rule or {}).get("crew")
    if not crew or facts.episode["cleared_at"] is not None:
        return None
    words = facts.episode["proof"].get("words") or {}
    minutes = crew.get("make_safe_min")
    until = facts.episode["raised_received_at"] + timedelta(minutes=minutes) if minutes is not None else None
    arrived = facts.case is not None and facts.case["arrived_at"] is not None
    return Act(
        first=words.get("act") or crew["act"],
        tool=crew.get("tool") or "",
        by=f"{at(until, now)} 前{crew['end']}" if until is not None else "",
        left=left(until, now) if until is not None and not arrived else "",
        late=until is not None and until <= now,
        until=until if not arrived else None,
    )


def _seen(facts: Facts, reader: Reader, now: datetime, companions: int) -> Seen:
    episode = facts.episode
    filed = ""
    if episode["human"] == Human.acknowledged:
        by = who(episode["acknowledged_by"] or "", facts.named, sees_names=reader.sees_names)
        # The table allows that nobody has kept who it was, or when.
        when = f" {at(episode['acknowledged_at'], now)}" if episode["acknowledged_at"] is not None else ""
        if not by_platform(episode["acknowledged_by"]):
            return Seen(False, True, f"已由 {by}{when} 接单" if by else f"已接单{when}", "")
        # That a case is filed sends nobody there: whoever goes can still say so.
        filed = f"{by}{when} 已立案，"
    over = episode["cleared_at"] is not None
    button = "确认已知" if over else f"接单（共 {companions + 1} 处）" if companions else "接单"
    if not reader.may_acknowledge:
        return Seen(False, False, f"{filed}无人接单" if not over else f"{filed}无人确认", "")
    return Seen(True, False, f"{filed}无人确认" if over else f"{filed}还没有人接单", button)


def _way(facts: Facts) -> Way | None:
    episode = facts.episode
    lon, lat = episode["lon"], episode["lat"]
    if episode["pipe_key"] is not None:
        lon, lat = episode["to_lon"], episode["to_lat"]
    if lon is None or lat is None:
        return None
    shifted = to_gcj02(Place(lon, lat))
    name = _place(facts)
    amap = {
        "to": f"{shifted.lon:.6f},{shifted.lat:.6f},{name}",
        "mode": "car",
        "coordinate": "gaode",
        "callnative": "1",
        "src": "underfoot",
    }
    label = quote(name, safe="")
    return Way(
        f"https://uri.amap.com/navigation?{urlencode(amap, safe=',')}",
        f"geo:{lat:.6f},{lon:.6f}?q={lat:.6f},{lon:.6f}({label})",
    )

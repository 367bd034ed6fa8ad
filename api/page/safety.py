"""Safety: what whoever goes there must not do. Chinese.

Which gas bars entry from which reading on is the city's rules' (the first limit of each gas); the order of acts,
先通风、再检测、后作业, is CJJ 6-2009's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api.chinese import number
from api.page.facts import GASES, Facts, is_well
from api.page.words import at
from api.rows import Row
from underfoot.families import FAMILIES

_UNREAD = "未测"
_FRESH = timedelta(hours=2)
"""A gas reading older than that says nothing of the air there now."""


@dataclass(frozen=True, slots=True)
class Gas:
    """`read`: what was read last, and when; empty: not measured. `barred`: it bars entry by itself."""

    name: str
    allowed: str
    read: str
    barred: bool


@dataclass(frozen=True, slots=True)
class Safety:
    """`forbidden`: in large letters."""

    forbidden: str
    rules: tuple[str, ...]
    gases: tuple[Gas, ...] = ()
    gas_note: str = ""

    @property
    def measured(self) -> bool:
        """Whether any gas is measured there at all."""
        return any(gas.read != _UNREAD for gas in self.gases)


def safety(facts: Facts, now: datetime) -> Safety | None:
    episode, rule_id = facts.episode, facts.episode["rule_id"]
    family = episode["family"]
    if episode["pipe_key"] is not None or (episode["kind"] is not None and is_well(episode["kind"])):
        gases = _gases(facts.gas_limits, facts.gas_read, now)
        rules = ["确需下井须先办审批：先通风、再检测、后作业，井口留人监护。", "井口围挡、设灯，夜间穿反光衣。"]
        if rule_id.startswith(("cover.ch4", "cover.h2s")):
            rules.insert(0, "井口周围禁火，勿开关电器。")
        return Safety("禁止下井", tuple(rules), gases, _gas_note(facts.gas_read, now) if gases else "")
    if rule_id == "road.underpass" or (facts.episode["proof"].get("values") or {}).get("place") == 1:
        return Safety("勿涉水、勿驶入", ("先断路设卡，再排水。", "水下可能有缺盖的井口，绕行水边。"))
    if family == "road":
        return Safety("勿涉水", ("水下可能有缺盖的井口。", "设警示，引导绕行。"))
    if family == "lamp":
        return Safety("勿触灯杆", ("先断电、验电，再作业；穿绝缘鞋，戴绝缘手套。", "雨天及积水中不得靠近漏电灯杆。"))
    if family == "pump":
        return Safety(
            "未断电勿动机组", ("检修前断电、挂牌、验电。", "格栅间、集水池按有限空间作业管理，禁止擅自下池。")
        )
    return None


_NAMES = {"o2_vol_pct": "氧气", "ch4_lel_pct": "甲烷", "h2s_mg_m3": "硫化氢", "co_mg_m3": "一氧化碳"}


def _gases(limits: Sequence[Row], read: Row | None, now: datetime) -> tuple[Gas, ...]:
    found = []
    for field in GASES:
        of_gas = {row["looks"]: float(row["limit"]) for row in limits if row["field"] == field}
        if not of_gas:
            continue
        unit = FAMILIES["cover"].column[field].unit
        below, above = of_gas.get("below"), of_gas.get("above")
        if below is not None and above is not None:
            allowed = f"{number(below)}–{number(above)} {unit}"
        else:
            allowed = f"＜ {number(above)} {unit}" if above is not None else f"＞ {number(below or 0.0)} {unit}"
        value = _value(read, field)
        barred = value is not None and (
            (above is not None and value >= above) or (below is not None and value <= below)
        )
        found.append(
            Gas(_NAMES[field], allowed, f"{number(round(value, 2))} {unit}" if value is not None else _UNREAD, barred)
        )
    return tuple(found)


def _value(read: Row | None, field: str) -> float | None:
    values: dict[str, Any] = read["values"] if read is not None else {}
    value = values.get(field)
    return float(value) if value is not None else None


def _gas_note(read: Row | None, now: datetime) -> str:
    if read is None or all(_value(read, field) is None for field in GASES):
        return "本井没有气体监测，下井前必须用检测仪实测。"
    if now - read["ts"] > _FRESH:
        return f"读数为 {at(read['ts'], now)} 所测，已不代表现在，必须实测。"
    return f"读数为 {at(read['ts'], now)} 所测，仅供参考，作业前必须实测。"

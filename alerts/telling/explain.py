"""Explain: who is told of an alarm, and why, in sentences. The same routing decides it as when it is raised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import dict_row

from alerts.deliver.verdict import VERDICT_LABELS, Verdict
from alerts.duty.store import area_names
from alerts.telling.routing import STAGE_LABELS, Asked, Concerned, Receiver, Stage
from alerts.telling.whom import concerned_by, on_duty_now, routes_now
from underfoot.alarms import SUPPRESSION_LABELS, Severity, Suppression
from underfoot.city_time import CITY_ZONE
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

NOTICE_LABELS = {
    "raise": "发生",
    "change": "变化",
    "clear": "解除",
    "correct": "更正",
    "escalate": "无人确认",
    "cancel": "撤案",
    "progress": "案件进展",
    "case": "案件通知",
}


class NoSuchAlarmError(LookupError):
    pass


@dataclass
class Explanation:
    """`title`: the alarm. `asked`: one line a stage, in order, up to the one that decides. `decided`: what follows from
    it. `told`: what is on record."""

    title: str
    asked: list[str] = field(default_factory=list)
    decided: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    sinks: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        record = ["通知记录：", *(f"  {line}" for line in self.told)] if self.told else ["通知记录：无"]
        return [self.title, *(f"  {line}" for line in self.asked), *self.decided, *record]


def explain(connection: Connection, episode_key: int) -> Explanation:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement("telling.explained"), {"episode_key": episode_key}).fetchone()
        if row is None:
            raise NoSuchAlarmError(f"there is no alarm {episode_key}")
        told = cursor.execute(statement("telling.told_so_far"), row).fetchall()
    where = " ".join(part for part in (row["area"], row["address"], row["asset"]) if part)
    said = Explanation(
        f"告警 {row['episode_key']}：{row['title']}（{Severity(row['severity']).label}）{f'，{where}' if where else ''}"
    )
    if row["has_crew"]:
        _route(connection, row, said)
    else:
        said.decided.append("本规则没有班组处置要求，不直接通知班组；无人确认时按值班表逐级上报。")
    said.decided += _beside(connection, row)
    said.told = [_on_record(one) for one in told]
    return said


def _route(connection: Connection, row: dict[str, Any], said: Explanation) -> None:
    routes, _ = routes_now(connection)
    on_duty = on_duty_now(connection)
    shares = concerned_by(connection, [row["alarm_key"]], routes).get(row["alarm_key"], [])
    names = area_names(connection, sorted({code for _, _, lineage, _ in shares for code in lineage}))
    for unit, owner, lineage, share in shares:
        worst = Severity(row["worst_severity"] if share is None else share)
        concerned = Concerned(unit, owner, lineage, worst)
        for number, asked in enumerate(routes.asked(concerned, on_duty), start=1):
            said.asked.append(f"{number}. {_asked(asked, worst, lineage, names)}")
            if asked.receivers:
                break
        route = routes.route(concerned, on_duty)
        said.sinks += [one.name for one in route.told if one.name not in said.sinks]
        if route.decided is None:
            said.decided.append("→ 无人可通知：已记录，有人值班或新增推送目标后立即补发，期间报“告警无人可通知”。")
        elif route.told:
            said.decided.append(f"→ 按{STAGE_LABELS[route.decided.stage]}通知：{'、'.join(map(_named, route.told))}")
        else:
            said.decided.append(f"→ 不通知：{worst.label}级低于其设定的最低通知级别。")


def _asked(asked: Asked, worst: Severity, lineage: tuple[str, ...], names: dict[str, str]) -> str:
    match asked.stage:
        case Stage.maintenance | Stage.owner:
            whose = (
                f"{STAGE_LABELS[asked.stage]}“{asked.whose}”" if asked.whose else f"{STAGE_LABELS[asked.stage]}未登记"
            )
        case Stage.area:
            code = asked.whose or (lineage[0] if lineage else "")
            whose = f"区域 {names.get(code, code)}" if code else "无所属区域"
        case Stage.anywhere:
            whose = "不限单位和区域的推送目标"
        case Stage.duty:
            whose = f"值班表 {names.get(asked.whose, asked.whose) or '全市'}"
    if not asked.receivers:
        return f"{whose}：{'当前无人值班或无推送目标' if asked.stage is Stage.duty else '没有推送目标'}"
    shown = "、".join(
        f"{_named(one)}（{one.least.label}级及以上{'' if worst >= one.least else '，本次不够级别'}）"
        for one in asked.receivers
    )
    return f"{whose}：{shown}"


def _named(one: Receiver) -> str:
    return f"{one.name} {one.said}" if one.said else one.name


def _beside(connection: Connection, row: dict[str, Any]) -> list[str]:
    said = []
    if row["has_case"]:
        rows = connection.execute(statement("telling.sinks")).fetchall()
        platforms = [r[1] for r in rows if r[2] == "platform" and row["worst_severity"] >= r[3]]
        said.append(f"案件推送平台：{'、'.join(platforms) or '没有配置平台'}")
    if row["suppressed"]:
        kinds = "、".join(SUPPRESSION_LABELS[Suppression(kind)] for kind in row["suppressed"])
        said.append(f"目前{kinds}：只通知解除，其余待恢复后按当时状态通知。")
    if row["over"]:
        said.append("告警已解除。")
    return said


def _on_record(one: dict[str, Any]) -> str:
    what = f"{one['sink']} {NOTICE_LABELS[one['notice']]}（{Severity(one['severity']).label}）"
    together = f"，与另{one['together'] - 1}条同一消息" if one["told_with"] is not None else ""
    verdict = Verdict(one["verdict"]) if one["verdict"] is not None else None
    why = f"：{VERDICT_LABELS[verdict]}" if verdict is not None and verdict is not Verdict.tell else ""
    match one["state"]:
        case "delivered":
            return f"{one['settled_at'].astimezone(CITY_ZONE):%m-%d %H:%M:%S} {what} 已送达{together}"
        case "dropped":
            return f"{one['settled_at'].astimezone(CITY_ZONE):%m-%d %H:%M:%S} {what} 未通知{why}"
        case "dead":
            return f"{one['settled_at'].astimezone(CITY_ZONE):%m-%d %H:%M:%S} {what} 对方拒收，转死信"
        case _:
            return f"{what} 待送{why}（{one['next_attempt_at'].astimezone(CITY_ZONE):%m-%d %H:%M:%S}）"

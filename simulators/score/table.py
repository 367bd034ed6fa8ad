"""The score as a tester reads it on a terminal: figures against targets, by kind, and what went wrong first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulators.score.figures import FalseAlarm, Missed, Score, Target
from simulators.truth import HAZARD_LABELS
from underfoot.alarms import Severity
from underfoot.city_time import CITY_ZONE

LABELS: dict[str, str] = {
    **{str(kind): label for kind, label in HAZARD_LABELS.items()},
    "gas": "井内气体",
    "signal": "信号弱",
    "lamp": "灯杆其他",
    "stuck": "传感器卡死",
    "doubtful": "读数存疑",
    "battery": "电池电量低",
    "late_hazard": "迟到险情",
    "misbehaviour": "上报异常",
}
"""Of hazards, and of what alarms can be about besides."""


def show(score: Score, out: Console, most: int) -> None:
    out.print(Group(*_parts(score, most)), highlight=False)


def _parts(score: Score, most: int) -> Iterator[RenderableType]:
    spans = f"{_time(score.begins_ms)} – {_time(score.ends_ms)}"
    yield Text(
        f"{score.scenario} · {score.network} · seed {score.seed} · {spans}\n"
        f"设备 {score.devices} 台，{score.device_days:g} 设备·日 · 告警 {score.alarms}："
        f"属实 {score.right}，误报 {score.false}，存疑未报 {score.kept_back}，不计 {score.apart}"
    )
    yield _targets(score)
    yield _kinds(score)
    yield _more(score)
    if score.unknown:
        rules = ", ".join(f"{rule} ({count})" for rule, count in score.unknown.items())
        yield Text(f"未计入（规则不在 tells.yaml 中）· not judged: {rules}", style="yellow")
    if score.missed:
        yield _missed(score.missed, most)
    if score.false_alarms:
        yield _false_alarms(score.false_alarms, most)


def _targets(score: Score) -> Table:
    table = Table("目标 target", "要求 wanted", "实得 got", "", show_edge=False)
    for target in score.targets:
        table.add_row(target.name, target.wanted, _number(target.value), _verdict(target))
    return table


def _verdict(target: Target) -> Text:
    if target.met is None:
        return Text("无从衡量 nothing to measure", style="dim")
    return Text("达标 met", style="green") if target.met else Text("未达 missed", style="red")


def _kinds(score: Score) -> Table:
    table = Table(show_edge=False)
    table.add_column("险情 hazard")
    for title in ("应报 needed", "已报 raised", "召回 recall", "属实 right", "误报 false", "准确 precision"):
        table.add_column(title, justify="right")
    for kind in (kind for kind in LABELS if kind in score.recall_by_kind or kind in score.precision_by_kind):
        told, judged = score.recall_by_kind.get(kind), score.precision_by_kind.get(kind)
        table.add_row(
            f"{LABELS[kind]} {kind}",
            *(("–", "–", "–") if told is None else (str(told.needed), str(told.raised), _number(told.recall))),
            *(("–", "–", "–") if judged is None else (str(judged.right), str(judged.false), _number(judged.precision))),
        )
    needed = sum(told.needed for told in score.recall_by_kind.values())
    raised = sum(told.raised for told in score.recall_by_kind.values())
    table.add_section()
    table.add_row(
        "合计 in all",
        str(needed),
        str(raised),
        _number(score.recall),
        str(score.right),
        str(score.false),
        _number(score.precision),
    )
    return table


def _more(score: Score) -> Table:
    by = "系统时钟 the installation's clock" if score.delays_by_installation_clock else "上报时间 event time"
    table = Table(show_header=False, show_edge=False, box=None, padding=(0, 2, 0, 0))
    for what, value in (
        ("黄色及以上召回 recall from yellow on", _number(score.recall_dangerous)),
        ("级别到位 told as bad as it was", _number(score.told_as_bad)),
        ("无设备可见 hazards that no device could see", str(score.unwatched)),
        ("重复告警 duplicates", str(score.duplicates)),
        (
            "发现用时 delay, median and p95, s",
            f"{_number(score.delay_seconds_median)} / {_number(score.delay_seconds_p95)}（{by}）",
        ),
        ("冒溢有预警 overflows forecast", f"{score.overflows_forecast} / {score.overflows}"),
        (
            "预警提前 lead, p10 and median, min",
            f"{_number(score.lead_minutes_p10)} / {_number(score.lead_minutes_median)}",
        ),
        ("任一告警提前 any alarm ahead, median, min", _number(score.warned_minutes_median)),
        ("堵管已定位 blocked pipes named", f"{score.blockages_named} / {score.blockages}"),
        ("定位准确 named exactly", _number(score.localisation_exact)),
        ("定位一段内 within one pipe", _number(score.localisation_within_1)),
    ):
        table.add_row(what, value)
    return table


def _missed(missed: list[Missed], most: int) -> Table:
    table = Table(title=_title("漏报 missed", len(missed), most), title_justify="left", show_edge=False)
    for title in ("险情 hazard", "位置 place", "开始 from", "峰值 peak", "级别", "原因 why"):
        table.add_column(title)
    for one in missed[:most]:
        hazard = one.hazard
        place = hazard.pipe_id or hazard.device_id or hazard.gateway_id or hazard.node
        table.add_row(
            f"{LABELS[hazard.kind]} {hazard.hazard_id}",
            place,
            _time(hazard.begins_ms),
            _number(hazard.peak),
            Severity(hazard.severity).label,
            one.why,
        )
    return table


def _false_alarms(false_alarms: list[FalseAlarm], most: int) -> Table:
    table = Table(title=_title("误报 false alarms", len(false_alarms), most), title_justify="left", show_edge=False)
    for title in ("规则 rule", "位置 place", "告警 raised", "级别", "依据 proof", "原因 why"):
        table.add_column(title)
    for one in false_alarms[:most]:
        severity = Severity(one.severity).label
        table.add_row(one.rule_id, one.place, _time(one.raised_ms), severity, one.proof, one.why)
    return table


def _title(what: str, count: int, most: int) -> str:
    return f"{what}: {count}" + (f"，前 {most} 条 the first {most}" if count > most else "")


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1000, CITY_ZONE).strftime("%m-%d %H:%M:%S")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"

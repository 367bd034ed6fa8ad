"""A handover as people read it: Markdown in Chinese, for a screen, a printer or a chat."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from alerts.duty.handover import AreaCounts, Handover, OnDutyLine, SinkLine
from underfoot.alarms import Severity
from underfoot.city_time import CITY_ZONE

_SHOWN = 20


def markdown(handover: Handover) -> str:
    return "\n".join(_lines(handover)) + "\n"


def _lines(handover: Handover) -> Iterator[str]:
    window = handover.window
    yield f"# 交接班：{window.shift or '时段'} {_clock(window.begins)} 至 {_clock(window.until)}"
    if handover.warning:
        yield f"\n> 注意：{handover.warning}"
    yield f"\n交班：{_people(handover.leaving)}　接班：{_people(handover.coming)}"
    yield "\n| 区 | 新增 | 解除 | 未解除 |\n|---|---|---|---|"
    for area in (*handover.areas, _sum(handover.areas)):
        name = area.name or area.district or "无区划"
        yield f"| {name} | {_counts(area.raised)} | {_counts(area.closed)} | {_counts(area.open)} |"
    yield from _part(
        f"未确认 {handover.unacknowledged_altogether}",
        (
            f"【{Severity(one.severity).label}】{one.title}｜{one.place}，{_clock(one.raised_at)}起"
            f"{'（已解除，无人确认）' if one.over else ''}"
            for one in handover.unacknowledged[:_SHOWN]
        ),
        handover.unacknowledged_altogether - _SHOWN,
    )
    yield from _part(
        f"搁置、检修、波动 {len(handover.suppressed)}",
        (
            f"{one.label}：{one.title}｜{one.place}，{one.reason}（{one.actor}"
            f"{f'，至{_clock(one.until)}' if one.until else ''}）"
            for one in handover.suppressed[:_SHOWN]
        ),
        len(handover.suppressed) - _SHOWN,
    )
    yield from _part(
        f"险情 {len(handover.incidents)}",
        (
            f"{one.area} {one.title}，{_clock(one.began_at)}起"
            f"{f'，{_clock(one.ended_at)}止' if one.ended_at else '，进行中'}"
            for one in handover.incidents
        ),
    )
    yield from _part(f"推送异常 {len(handover.sinks)}", (_sink(one) for one in handover.sinks))
    if handover.escalated:
        turns = "，".join(f"{level}级{count}次" for level, count in sorted(handover.escalated.items()))
        yield f"\n无人确认上报：{turns}"
    yield from _part(
        f"交接事项 {len(handover.notes)}",
        (
            f"{_clock(one.at)} {one.actor}{f'（{one.about}）' if one.about else ''}：{one.text}"
            for one in handover.notes
        ),
    )


def _part(title: str, lines: Iterable[str], more: int = 0) -> Iterator[str]:
    listed = list(lines)
    if listed:
        yield f"\n## {title}\n"
        yield from (f"- {line}" for line in listed)
    if more > 0:
        yield f"- 另有{more}条"


def _sink(sink: SinkLine) -> str:
    parts = [
        "故障" if sink.failing else "",
        f"未送达{sink.owed}" if sink.owed else "",
        f"最久自{_clock(sink.oldest)}" if sink.oldest else "",
        f"放弃{sink.dead}" if sink.dead else "",
        sink.error if sink.failing else "",
    ]
    return f"{sink.name}：{'，'.join(part for part in parts if part)}"


def _sum(areas: Iterable[AreaCounts]) -> AreaCounts:
    whole = AreaCounts(district="", name="合计", raised={}, closed={}, open={})
    for area in areas:
        for word in ("raised", "closed", "open"):
            counts: dict[str, int] = getattr(whole, word)
            for severity, count in getattr(area, word).items():
                counts[severity] = counts.get(severity, 0) + count
    return whole


def _counts(counts: dict[str, int]) -> str:
    shown = [f"{s.label}{counts[s.name]}" for s in sorted(Severity, reverse=True) if counts.get(s.name)]
    return f"{sum(counts.values())}（{' '.join(shown)}）" if shown else "0"


def _people(people: Iterable[OnDutyLine]) -> str:
    return "、".join(f"{one.name}（{one.shift}{one.level}级）" for one in people) or "无"


def _clock(moment: datetime) -> str:
    return moment.astimezone(CITY_ZONE).strftime("%m-%d %H:%M")

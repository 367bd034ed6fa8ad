"""The picture of a backtest, as SVG: how many alarms began when, what was open, and what is on record.

Text stays text, so that Chinese is shown by whatever font the reader has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape

from alerts.backtest.result import OPERATOR_A_DAY, SEVERITIES, Backtest
from underfoot.city_time import CITY_ZONE

_WIDTH, _LEFT, _RIGHT = 1200, 64, 24
_HEIGHT = 620
_FONTS = "Noto Sans CJK SC,Source Han Sans SC,Microsoft YaHei,PingFang SC,sans-serif"
_PLOT = _WIDTH - _LEFT - _RIGHT
_COLORS = ("#3b82f6", "#eab308", "#f97316", "#dc2626")
_INK, _FAINT, _LINE = "#1f2937", "#6b7280", "#e5e7eb"
_REAL, _FALSE, _UNKNOWN = "#059669", "#9333ea", "#9ca3af"
_STEPS = tuple(
    timedelta(minutes=minutes)
    for minutes in (5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 3 * 1440, 7 * 1440, 14 * 1440, 28 * 1440)
)
_BARS_AT_MOST = 96
_TICKS_AT_MOST = 12


@dataclass(frozen=True)
class _Axis:
    """Time from left to right."""

    begin: datetime
    end: datetime

    def x(self, at: datetime) -> float:
        share = (at - self.begin) / (self.end - self.begin)
        return _LEFT + _PLOT * min(max(share, 0.0), 1.0)

    def steps(self, at_most: int) -> tuple[timedelta, list[datetime]]:
        """Where equal steps begin, the city's midnight being one of them."""
        span = self.end - self.begin
        step = next((step for step in _STEPS if span <= step * at_most), _STEPS[-1])
        local = self.begin.astimezone(CITY_ZONE)
        first = local.replace(hour=0, minute=0, second=0, microsecond=0)
        first += step * ((local - first) // step)
        starts = []
        while first < self.end:
            starts.append(first)
            first += step
        return step, starts


def picture(backtest: Backtest) -> str:
    axis = _Axis(backtest.begins_at, backtest.ends_at)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" {_size()} font-family="{_FONTS}">',
        f'<rect {_size()} fill="#ffffff"/>',
        *_head(backtest),
        *_bars(backtest, axis, top=148, height=190),
        *_open(backtest, axis, top=392, height=104),
        *_record(backtest, axis, top=550),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _size() -> str:
    return f'width="{_WIDTH}" height="{_HEIGHT}"'


def _head(backtest: Backtest) -> Iterator[str]:
    version = f"第{backtest.version}版" if backtest.version is not None else "未入库"
    yield _text(_LEFT, 34, f"{backtest.title}（{backtest.rule_id}，{version}）历史回测", size=20, weight="bold")
    begin, end = (at.astimezone(CITY_ZONE) for at in (backtest.begins_at, backtest.ends_at))
    yield _text(
        _LEFT,
        60,
        f"{begin:%Y-%m-%d %H:%M} 至 {end:%Y-%m-%d %H:%M} · {backtest.devices} 台设备 · {backtest.reports:,} 条上报",
        color=_FAINT,
    )
    notices = f"每天 {_count(backtest.notices_a_day)} 条通知（一名值班员每天不超过 {OPERATOR_A_DAY} 条）"
    busy = backtest.notices_a_day > OPERATOR_A_DAY
    yield _text(
        _LEFT,
        86,
        f"告警 {backtest.raised} 次，每天 {_count(backtest.raised_a_day)} 次；{notices}",
        color="#dc2626" if busy else _INK,
    )
    x = float(_LEFT)
    for severity, color, number in zip(SEVERITIES, _COLORS, backtest.by_severity, strict=True):
        yield f'<rect x="{x:.0f}" y="98" width="12" height="12" rx="2" fill="{color}"/>'
        label = f"{severity.label} {number}"
        yield _text(x + 18, 109, label, size=13)
        x += 38 + 9 * len(label)


def _bars(backtest: Backtest, axis: _Axis, *, top: float, height: float) -> Iterator[str]:
    """Alarms that began, by the worst they came to."""
    step, starts = axis.steps(_BARS_AT_MOST)
    counts = [[0] * len(SEVERITIES) for _ in starts]
    for episode in backtest.episodes:
        place = max((episode.raised_at - starts[0]) // step, 0)
        counts[min(place, len(starts) - 1)][episode.severity - 1] += 1
    most = max((sum(one) for one in counts), default=0)
    yield from _frame(f"告警次数（每{_span(step)}）", axis, top, height, most)
    for start, one in zip(starts, counts, strict=True):
        left, right = axis.x(start), axis.x(start + step)
        below = top + height
        for color, number in zip(_COLORS, one, strict=True):
            tall = height * number / max(most, 1)
            below -= tall
            if number:
                yield (
                    f'<rect x="{left + 0.5:.1f}" y="{below:.1f}" width="{max(right - left - 1, 1):.1f}"'
                    f' height="{tall:.1f}" fill="{color}"/>'
                )


def _open(backtest: Backtest, axis: _Axis, *, top: float, height: float) -> Iterator[str]:
    """How many were open at the same time."""
    events = sorted(
        [(episode.raised_at, 1) for episode in backtest.episodes]
        + [(episode.cleared_at, -1) for episode in backtest.episodes if episode.cleared_at is not None]
    )
    levels, now = [(axis.begin, 0)], 0
    for at, by in events:
        now += by
        levels.append((at, now))
    most = max(count for _, count in levels)
    yield from _frame("同时未解除", axis, top, height, most)
    points, last = [f"{_LEFT},{top + height:.1f}"], 0.0
    for at, count in levels:
        y = top + height - height * count / max(most, 1)
        points += [f"{axis.x(at):.1f},{top + height - last:.1f}", f"{axis.x(at):.1f},{y:.1f}"]
        last = top + height - y
    points += [f"{_LEFT + _PLOT},{top + height - last:.1f}", f"{_LEFT + _PLOT},{top + height:.1f}"]
    yield f'<polygon points="{" ".join(points)}" fill="#64748b" fill-opacity="0.35" stroke="#475569" stroke-width="1"/>'


def _record(backtest: Backtest, axis: _Axis, *, top: float) -> Iterator[str]:
    """What is on record of this rule: filled where the rule as tried finds it, too."""
    yield _text(_LEFT, top - 8, "记录在案", size=13, weight="bold")
    kinds = ((True, _REAL, "属实"), (False, _FALSE, "误报"), (None, _UNKNOWN, "未核实"))
    x = float(_LEFT + 76)
    for confirmed, color, label in kinds:
        of_kind = [one for one in backtest.recorded if one.confirmed is confirmed]
        found = sum(one.found for one in of_kind)
        yield f'<circle cx="{x:.0f}" cy="{top - 12:.0f}" r="5" fill="{color}"/>'
        legend = f"{label} {len(of_kind)}，本次也告警 {found}"
        yield _text(x + 10, top - 8, legend, size=13, color=_FAINT)
        x += 200
    yield _text(x, top - 8, "空心：本次未告警", size=13, color=_FAINT)
    for row, (confirmed, color, _) in enumerate(kinds):
        y = top + 14 + 20 * row
        yield f'<line x1="{_LEFT}" y1="{y:.0f}" x2="{_LEFT + _PLOT}" y2="{y:.0f}" stroke="{_LINE}"/>'
        for one in backtest.recorded:
            if one.confirmed is confirmed:
                fill = color if one.found else "#ffffff"
                x = axis.x(one.raised_at)
                yield f'<circle cx="{x:.1f}" cy="{y:.0f}" r="5" fill="{fill}" stroke="{color}" stroke-width="1.5"/>'


def _frame(title: str, axis: _Axis, top: float, height: float, most: int) -> Iterator[str]:
    yield _text(_LEFT, top - 8, title, size=13, weight="bold")
    for share, value in _scale(most):
        y = top + height - height * share
        yield f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{_LEFT + _PLOT}" y2="{y:.1f}" stroke="{_LINE}"/>'
        yield _text(_LEFT - 8, y + 4, str(value), size=12, color=_FAINT, anchor="end")
    step, starts = axis.steps(_TICKS_AT_MOST)
    form = "%m-%d" if step >= timedelta(days=1) else "%m-%d %H:%M"
    for start in starts:
        if start >= axis.begin:
            x = axis.x(start)
            below = top + height
            yield f'<line x1="{x:.1f}" y1="{below:.0f}" x2="{x:.1f}" y2="{below + 5:.0f}" stroke="{_FAINT}"/>'
            yield _text(x, below + 19, f"{start:{form}}", size=12, color=_FAINT, anchor="middle")


def _scale(most: int) -> Sequence[tuple[float, int]]:
    if most <= 0:
        return [(0.0, 0)]
    middle = most // 2
    return [(0.0, 0), *([(middle / most, middle)] if middle else []), (1.0, most)]


def _span(step: timedelta) -> str:
    minutes = int(step.total_seconds()) // 60
    if minutes % 1440 == 0:
        return "天" if minutes == 1440 else f"{minutes // 1440}天"
    return f"{minutes // 60}小时" if minutes % 60 == 0 else f"{minutes}分钟"


def _count(number: float) -> str:
    return f"{number:.1f}" if number < 10 else f"{number:.0f}"


def _text(
    x: float, y: float, text: str, *, size: int = 15, color: str = _INK, weight: str = "normal", anchor: str = "start"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" font-weight="{weight}"'
        f' text-anchor="{anchor}">{escape(text)}</text>'
    )

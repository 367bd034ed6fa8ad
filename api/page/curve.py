"""Curve: what was measured in the hours about an alarm, as inline SVG: the limit, the raise, the axes in units.

Pure. Colours are the stylesheet's; a line is told from another by its dashes too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, floor, log10

from markupsafe import Markup

from api.page.facts import Series
from api.page.words import figure
from underfoot.city_time import CITY_ZONE

WIDTH, HEIGHT = 360, 212
_LEFT, _RIGHT, _TOP, _BOTTOM = 38, 10, 26, 24
_COLUMNS = WIDTH - _LEFT - _RIGHT
_FEW = 40
_LONGEST_GAP = 3
"""Intervals of the device's own: after that nothing is known, and no line is drawn."""

_STEPS_MIN = (5, 10, 15, 30, 60, 120, 180, 240, 360, 720, 1440)


@dataclass(frozen=True, slots=True)
class Limit:
    """A line across. `said`: 红 25; `kind`: its colour's class; `proving`: the one that was reached."""

    value: float
    said: str
    kind: str
    proving: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: the raise, the end."""

    moment: datetime
    said: str
    kind: str


@dataclass(frozen=True, slots=True)
class Plot:
    series: Sequence[Series]
    begin: datetime
    end: datetime
    limits: Sequence[Limit]
    marks: Sequence[Mark]
    about: str
    """For whoever can't see it."""

    state_names: tuple[str, str] = ("是", "否")


def curve(plot: Plot) -> Markup:
    """The whole drawing."""
    states = any(series.is_state for series in plot.series)
    low, high = (0.0, 1.0) if states else _range(plot)
    frame = _Frame(plot.begin, plot.end, low, high, HEIGHT - 80 if states else HEIGHT)
    parts = [*(_states(frame, plot) if states else _grid(frame, plot)), *_times(frame)]
    if not states:
        parts += _limits(frame, plot.limits)
    for number_, series in enumerate(plot.series):
        parts += _strip(frame, series) if series.is_state else _line(frame, series, number_)
    parts += _marks(frame, plot.marks)
    return Markup('<svg class="curve" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, frame.height, plot.about, Markup("").join(parts)
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    begin: datetime
    end: datetime
    low: float
    high: float
    height: int

    def x(self, moment: datetime) -> float:
        share = (moment - self.begin) / (self.end - self.begin)
        return round(_LEFT + _COLUMNS * min(max(share, 0.0), 1.0), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.height - _BOTTOM - (self.height - _TOP - _BOTTOM) * min(max(share, 0.0), 1.0), 1)

    @property
    def floor(self) -> int:
        return self.height - _BOTTOM


def _range(plot: Plot) -> tuple[float, float]:
    """What the values and the limit that was reached need, with some air; the next limit if it is not far."""
    values = [value for series in plot.series for _, value in series.points]
    values += [limit.value for limit in plot.limits if limit.proving]
    low, high = min(values, default=0.0), max(values, default=1.0)
    spread = max(high - low, abs(high) * 0.05, 0.1)
    values += [limit.value for limit in plot.limits if low - spread / 2 <= limit.value <= high + spread / 2]
    low, high = min(values, default=0.0), max(values, default=1.0)
    spread = max(high - low, abs(high) * 0.05, 0.1)
    if 0 <= low <= spread:
        return 0.0, high + spread * 0.12
    return low - spread * 0.12, high + spread * 0.12


# the parts ------------------------------------------------------------------------------------------------------------


def _grid(frame: _Frame, plot: Plot) -> Iterator[Markup]:
    unit = next((series.unit for series in plot.series if series.unit), "")
    label = plot.series[0].label if len(plot.series) == 1 else "液位" if plot.series else ""
    if label:
        yield Markup('<text class="unit" x="2" y="12">{}{}</text>').format(label, f"（{unit}）" if unit else "")
    step = _nice((frame.high - frame.low) / 4)
    tick = ceil(frame.low / step) * step
    while tick <= frame.high:
        y = frame.y(tick)
        yield Markup('<path class="grid" d="M{} {}H{}"/><text class="tick end" x="{}" y="{}">{}</text>').format(
            _LEFT, y, WIDTH - _RIGHT, _LEFT - 4, y + 4, _tick(tick, step)
        )
        tick += step


def _states(frame: _Frame, plot: Plot) -> Iterator[Markup]:
    yield Markup('<text class="unit" x="2" y="12">{}</text>').format(plot.series[0].label)
    for value, name in ((1.0, plot.state_names[0]), (0.0, plot.state_names[1])):
        y = frame.y(value * 0.8 + 0.1)
        yield Markup('<path class="grid" d="M{} {}H{}"/><text class="tick end" x="{}" y="{}">{}</text>').format(
            _LEFT, y, WIDTH - _RIGHT, _LEFT - 4, y + 4, name
        )


def _times(frame: _Frame) -> Iterator[Markup]:
    minutes = (frame.end - frame.begin) / timedelta(minutes=1)
    step = next((step for step in _STEPS_MIN if minutes / step <= 6), _STEPS_MIN[-1])
    begin = frame.begin.astimezone(CITY_ZONE)
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    tick = midnight + timedelta(minutes=ceil((begin - midnight) / timedelta(minutes=step)) * step)
    yield Markup('<path class="axis" d="M{} {}H{}"/>').format(_LEFT, frame.floor, WIDTH - _RIGHT)
    taken = 0.0
    while tick <= frame.end:
        x = frame.x(tick)
        said = f"{tick:%H:%M}" if tick.hour or tick.minute else f"{tick.month}月{tick.day}日"
        half = (len(said) + said.count("月") + said.count("日")) * 3.6
        begin_x = min(max(x, half), WIDTH - half) - half
        if begin_x < taken:
            said = ""
        taken = max(taken, begin_x + 2 * half + 6) if said else taken
        yield Markup('<path class="axis" d="M{} {}v4"/><text class="tick mid" x="{:.1f}" y="{}">{}</text>').format(
            x, frame.floor, begin_x + half, frame.floor + 17, said
        )
        tick += timedelta(minutes=step)


def _limits(frame: _Frame, limits: Sequence[Limit]) -> Iterator[Markup]:
    for limit in limits:
        if not frame.low <= limit.value <= frame.high:
            continue
        y = frame.y(limit.value)
        yield Markup(
            '<path class="limit {}{}" d="M{} {}H{}"/><text class="limit-said halo" x="{}" y="{}">{}</text>'
        ).format(
            limit.kind, " proving" if limit.proving else "", _LEFT, y, WIDTH - _RIGHT, _LEFT + 4, y - 4, limit.said
        )


def _marks(frame: _Frame, marks: Sequence[Mark]) -> Iterator[Markup]:
    """What would stand on what another says goes a line lower."""
    free = [0.0] * 4
    for mark in sorted(marks, key=lambda mark: mark.moment):
        if not frame.begin <= mark.moment <= frame.end:
            continue
        x = frame.x(mark.moment)
        width = 7.2 * len(mark.said) + 4.5 * sum(letter > "\u2e7f" for letter in mark.said)
        left_of = x > WIDTH * 0.6
        from_x = x - 4 - width if left_of else x + 4
        row = next((row for row, until in enumerate(free) if until <= from_x), 0)
        free[row] = max(from_x + width + 4, x)
        y = _TOP - 4 + row * 15
        yield Markup(
            '<path class="mark {}" d="M{} {}V{}"/><text class="mark-said halo{}" x="{}" y="{}">{}</text>'
        ).format(mark.kind, x, y - 4, frame.floor, " end" if left_of else "", x - 4 if left_of else x + 4, y, mark.said)


def _line(frame: _Frame, series: Series, place: int) -> Iterator[Markup]:
    shown = [(moment, value) for moment, value in series.points if moment <= frame.end]
    if not shown:
        return
    path: list[str] = []
    before: datetime | None = None
    longest = timedelta(seconds=max(series.interval_s, 60) * _LONGEST_GAP)
    for moment, value in thinned(shown, frame.begin, frame.end):
        joined = before is not None and moment - before <= longest
        path.append(f"{'L' if joined else 'M'}{frame.x(moment)} {frame.y(value)}")
        before = moment
    yield Markup('<path class="line line{}" d="{}"/>').format(place, "".join(path))
    if len(shown) <= _FEW:
        dots = "".join(f"M{frame.x(moment)} {frame.y(value)}h0" for moment, value in shown if moment >= frame.begin)
        yield Markup('<path class="dots line{}" d="{}"/>').format(place, dots)
    moment, value = shown[-1]
    x, y = frame.x(moment), frame.y(value)
    yield Markup('<circle class="newest line{}" cx="{}" cy="{}" r="3.5"/>').format(place, x, y)
    said = figure(value)
    yield Markup('<text class="newest-said halo{}" x="{}" y="{}">{}</text>').format(
        " end" if x > WIDTH * 0.6 else "", x - 7 if x > WIDTH * 0.6 else x + 7, y + 4 if y > _TOP + 34 else y + 18, said
    )


def _strip(frame: _Frame, series: Series) -> Iterator[Markup]:
    """A state, held until the next report."""
    path: list[str] = []
    for moment, value in series.points:
        x, y = frame.x(moment), frame.y((value > 0) * 0.8 + 0.1)
        path.append(f"H{x}V{y}" if path else f"M{x} {y}")
    if path:
        yield Markup('<path class="line line0" d="{}H{}"/>').format("".join(path), frame.x(frame.end))
        dots = "".join(
            f"M{frame.x(moment)} {frame.y((value > 0) * 0.8 + 0.1)}h0"
            for moment, value in series.points
            if moment >= frame.begin
        )
        yield Markup('<path class="dots line0" d="{}"/>').format(dots)


# numbers --------------------------------------------------------------------------------------------------------------


def thinned(
    points: Sequence[tuple[datetime, float]], begin: datetime, end: datetime
) -> Sequence[tuple[datetime, float]]:
    """As many as can be told apart: of each column of the drawing the first, the least, the most and the last."""
    if len(points) <= _COLUMNS:
        return points
    width = (end - begin) / _COLUMNS
    kept: list[tuple[datetime, float]] = []
    column: list[tuple[datetime, float]] = []
    at = 0
    for point in points:
        here = floor((point[0] - begin) / width)
        if column and here != at:
            kept += _of_column(column)
            column = []
        at = here
        column.append(point)
    return kept + _of_column(column)


def _of_column(column: list[tuple[datetime, float]]) -> list[tuple[datetime, float]]:
    by_value = sorted(column, key=lambda point: point[1])
    return sorted({column[0], by_value[0], by_value[-1], column[-1]})


def _nice(step: float) -> float:
    """1, 2 or 5 times a power of ten, not less than `step`."""
    power = 10.0 ** floor(log10(step))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= step * 0.999)


def _tick(value: float, step: float) -> str:
    places = max(0, -floor(log10(step)))
    said = f"{value:.{places}f}"
    return said.replace("-0", "0") if float(said) == 0 else said

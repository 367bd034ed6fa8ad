"""The picture of a score: the rain, the water at the worst places with their limits, and when which alarm said so.

matplotlib is imported here and nowhere else, so that only who draws needs it. Labels are Chinese where a font of this
machine has the characters, English elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simulators.hydraulics.hydrographs import Hydrographs
from simulators.network.city import NetworkCity
from simulators.score.errors import ScoreError
from simulators.score.excursions import Values
from simulators.score.figures import Score
from simulators.score.limits import Steps, TrueLimits, shipped_limits
from simulators.score.matching import Judged, Matches
from simulators.truth import HazardKind, TrueHazard, Truth
from underfoot.city_time import CITY_ZONE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".svg", ".png")
_COLORS = ("#9ca3af", "#3b82f6", "#eab308", "#f97316", "#dc2626")
_WATER, _RAIN, _INK, _FALSE = "#0369a1", "#60a5fa", "#1f2937", "#7c3aed"
_CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "SimHei",
    "Noto Serif CJK SC",
)
_DPI = 110
_TICK_STEPS = tuple(timedelta(minutes=minutes) for minutes in (5, 10, 30, 60, 120, 240, 480, 1440))
_TICKS_AT_MOST = 10
_ROWS_AT_MOST = 5
_LATE = 0.88
"""From there on an alarm's name stands to the left of its mark."""
_ROW = 0.13
"""Of the water's range, for each row of alarms under it."""


class _Words(NamedTuple):
    chinese: str
    english: str


_KINDS: dict[HazardKind, _Words] = {
    "road_flooding": _Words("道路积水 (cm)", "road flooding (cm)"),
    "overflow": _Words("井口以上水位 (m)", "water over the rim (m)"),
    "forebay_high": _Words("前池水位 (m)", "forebay level (m)"),
    "blockage": _Words("堵管上游水深 (m)", "depth above the blockage (m)"),
}
_SHARE_OF_PANELS: tuple[tuple[HazardKind, int], ...] = (
    ("road_flooding", 3),
    ("overflow", 2),
    ("blockage", 1),
    ("forebay_high", 1),
)
_RAIN_WORDS = _Words("雨强 (mm/h)", "rain (mm/h)")
_FALSE_WORDS = _Words("误报", "false")
_NOTHING = _Words("没有险情", "no hazard")


@dataclass(frozen=True)
class _Labels:
    """What can be written with the font there is: without Chinese characters, a name that has some shows ? for them."""

    chinese: bool

    def words(self, words: _Words) -> str:
        return words.chinese if self.chinese else words.english

    def name(self, name: str) -> str:
        return name if self.chinese else name.encode("ascii", "replace").decode()


@dataclass(frozen=True)
class _Panel:
    hazard: TrueHazard
    values: Values
    limits: Steps


def draw(file: Path, city: NetworkCity, truth: Truth, hydrographs: Hydrographs, matches: Matches, score: Score) -> None:
    """Write it as SVG or PNG, by the file's ending."""
    if file.suffix.lower() not in FORMATS:
        raise ScoreError(f"picture: {file}: its name must end in {' or '.join(FORMATS)}")
    try:
        import matplotlib as mpl
    except ImportError:
        raise ScoreError("picture: matplotlib is not installed: pip install 'underfoot[simulators]'") from None
    mpl.use("Agg")
    from matplotlib import font_manager
    from matplotlib import pyplot as plt

    font = _chinese_font({one.name for one in font_manager.fontManager.ttflist})
    say = _Labels(chinese=font is not None)
    panels = list(_panels(city, truth, hydrographs))
    style: dict[Any, Any] = {
        "svg.fonttype": "none",
        "font.family": [font or "DejaVu Sans"],
        "axes.unicode_minus": False,
    }
    with mpl.rc_context(style):
        figure, axes = plt.subplots(
            1 + max(len(panels), 1),
            1,
            figsize=(13, 1.8 + 2.2 * max(len(panels), 1)),
            sharex=True,
            height_ratios=[0.7, *[1.0] * max(len(panels), 1)],
            layout="constrained",
        )
        try:
            _rain(axes[0], hydrographs, say)
            for panel, place in zip(panels, axes[1:], strict=False):
                _water(place, panel, hydrographs, truth, matches, say)
            if not panels:
                axes[1].text(0.5, 0.5, say.words(_NOTHING), transform=axes[1].transAxes, ha="center", color=_INK)
                axes[1].set_yticks([])
            axes[0].set_title(say.name(_headline(score)), loc="left", fontsize=10, color=_INK)
            ticks = _ticks(truth)
            axes[-1].set_xticks([at_s for at_s, _ in ticks], [name for _, name in ticks], fontsize=8)
            axes[-1].set_xlim(0, hydrographs.seconds)
            try:
                figure.savefig(file, dpi=_DPI)
            except OSError as error:
                raise ScoreError(f"picture: {file} cannot be written: {error.strerror}") from None
        finally:
            plt.close(figure)


def _panels(city: NetworkCity, truth: Truth, hydrographs: Hydrographs) -> Iterator[_Panel]:
    """The worst places of each kind, one panel a node."""
    limits = shipped_limits()
    underpasses = {site.device.device_id for site in city.sites if site.device.underpass}
    for kind, most in _SHARE_OF_PANELS:
        shown: set[str] = set()
        worst = sorted(
            (hazard for hazard in truth.hazards if hazard.kind == kind and hazard.node in hydrographs.nodes),
            key=lambda hazard: (not hazard.watched, -hazard.severity, -(hazard.peak or 0.0), hazard.hazard_id),
        )
        for hazard in worst:
            if hazard.node not in shown and len(shown) < most:
                shown.add(hazard.node)
                steps = _steps_of(hazard, limits, underpass=hazard.device_id in underpasses)
                yield _Panel(hazard, _values(hazard, truth, hydrographs), steps)


def _values(hazard: TrueHazard, truth: Truth, hydrographs: Hydrographs) -> Values:
    """The true curve in the unit of the hazard, its peak being known in both."""
    column = hydrographs.node(hazard.node)
    if hazard.kind == "road_flooding":
        return np.asarray(hydrographs.ponding_m[:, column] * 100)
    depth = hydrographs.depth_m[:, column]
    if hazard.kind == "blockage" or hazard.peak is None or hazard.peak_ms is None:
        return np.asarray(depth)
    at_peak = hydrographs.at(hydrographs.depth_m, column, (hazard.peak_ms - truth.begins_ms) / 1000)
    return np.asarray(depth - (at_peak - hazard.peak))


def _steps_of(hazard: TrueHazard, limits: TrueLimits, *, underpass: bool) -> Steps:
    if hazard.kind == "road_flooding":
        return (limits.underpass if underpass else limits.road).steps
    if hazard.kind == "overflow":
        return limits.under_cover.steps
    if hazard.kind == "forebay_high":
        return tuple(sorted((*limits.forebay_idle.steps, *limits.forebay.steps)))
    return ()


def _rain(axes: Axes, hydrographs: Hydrographs, say: _Labels) -> None:
    rain = hydrographs.rain_mm_h
    strongest = rain.max(axis=1) if rain.shape[1] else np.zeros(len(rain))
    axes.fill_between(_seconds(hydrographs), strongest, step="mid", color=_RAIN, linewidth=0)
    axes.set_ylim(max(float(strongest.max()) * 1.1, 1.0), 0)
    axes.set_ylabel(say.words(_RAIN_WORDS), fontsize=8)
    axes.tick_params(labelsize=8)


def _water(
    axes: Axes,
    panel: _Panel,
    hydrographs: Hydrographs,
    truth: Truth,
    matches: Matches,
    say: _Labels,
) -> None:
    hazard = panel.hazard
    axes.plot(_seconds(hydrographs), panel.values, color=_WATER, linewidth=1.4)
    bottom, top = float(panel.values.min()), float(panel.values.max())
    room = max(top - bottom, 0.1)
    for severity, limit in panel.limits:
        if bottom - 0.2 * room <= limit <= top + 0.2 * room:
            axes.axhline(limit, color=_COLORS[severity], linewidth=0.9, linestyle="--")
    begin, end = _at_s(hazard.begins_ms, truth), _at_s(hazard.ends_ms, truth)
    axes.axvspan(begin, end, color=_COLORS[hazard.severity], alpha=0.08, linewidth=0)
    marked = _alarms_at(hazard, matches)
    rows = min(max(len(marked), 1), _ROWS_AT_MOST)
    axes.set_ylim(bottom - (0.1 + _ROW * rows) * room, top + 0.15 * room)
    for number, one in enumerate(marked):
        _mark(axes, one, truth, bottom - _ROW * (1 + number % rows) * room, say)
    place = hazard.pipe_id or hazard.device_id or hazard.asset_code
    axes.set_title(
        f"{say.words(_KINDS[hazard.kind])}  {say.name(f'{hazard.node} {place}')}", loc="left", fontsize=8.5, color=_INK
    )
    axes.tick_params(labelsize=8)


def _alarms_at(hazard: TrueHazard, matches: Matches) -> list[Judged]:
    """Those that told of it, and the false ones at its place."""
    return [
        one
        for one in matches.judged
        if any(told.hazard_id == hazard.hazard_id for told in one.told)
        or (
            one.verdict == "false"
            and (
                (hazard.device_id and one.alarm.device_id == hazard.device_id)
                or (one.nearest is not None and one.nearest.hazard_id == hazard.hazard_id)
            )
        )
    ]


def _mark(axes: Axes, one: Judged, truth: Truth, height: float, say: _Labels) -> None:
    alarm = one.alarm
    raised, cleared = _at_s(alarm.raised_ms, truth), _at_s(alarm.cleared_ms, truth)
    color = _FALSE if one.verdict == "false" else _COLORS[alarm.severity]
    axes.plot([raised, max(cleared, raised)], [height, height], color=color, linewidth=2.2, solid_capstyle="butt")
    axes.plot([raised], [height], marker="x" if one.verdict == "false" else "v", color=color, markersize=6)
    name = say.name(f"{alarm.rule_id} {alarm.pipe_id}".rstrip())
    text = f"{name} ({say.words(_FALSE_WORDS)})" if one.verdict == "false" else name
    late = raised > _LATE * _at_s(None, truth)
    axes.annotate(
        text,
        (raised, height),
        xytext=(-5 if late else 5, 1),
        textcoords="offset points",
        ha="right" if late else "left",
        fontsize=6.5,
        color=_INK,
    )


def _headline(score: Score) -> str:
    def shown(value: float | None) -> str:
        return "–" if value is None else f"{value:g}"

    return (
        f"{score.scenario} | {score.network} | recall {shown(score.recall)} | precision {shown(score.precision)} | "
        f"lead {shown(score.lead_minutes_median)} min | false/100d {shown(score.false_per_100_device_days)}"
    )


def _ticks(truth: Truth) -> list[tuple[float, str]]:
    """Round times of the city's clock, with their place in the run."""
    begin, end = (datetime.fromtimestamp(epoch_ms / 1000, CITY_ZONE) for epoch_ms in (truth.begins_ms, truth.ends_ms))
    step = next((step for step in _TICK_STEPS if (end - begin) <= step * _TICKS_AT_MOST), _TICK_STEPS[-1])
    at = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    at += step * -((at - begin) // step)
    ticks = []
    while at <= end:
        ticks.append(((at - begin).total_seconds(), at.strftime("%m-%d %H:%M")))
        at += step
    return ticks


def _at_s(epoch_ms: int | None, truth: Truth) -> float:
    """In seconds of the run; what has no end lasts as long as the run."""
    return ((truth.ends_ms if epoch_ms is None else epoch_ms) - truth.begins_ms) / 1000


def _seconds(hydrographs: Hydrographs) -> Values:
    return np.arange(len(hydrographs.depth_m)) * float(hydrographs.step_s)


def _chinese_font(installed: set[str]) -> str | None:
    return next((name for name in _CHINESE_FONTS if name in installed), None)

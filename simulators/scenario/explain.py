"""A scenario explained before it is run: what falls when, what befalls whom, and what to look for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulators.hydraulics.hydrographs import Series
from simulators.rain import hyetographs
from simulators.scenario.model import CsvRain, NoRain, Scenario
from simulators.scenario.words import FAULTS, hours, rain_in_words, span, whom

_BARS = " ▁▂▃▄▅▆▇█"
_COLUMNS = 60
_COLOURS = {"hazard": "red", "lie": "yellow", "silence": "yellow", "on the way": "cyan", "attack": "magenta"}
_MIDDLE = {"middle": (0.0, 0.0)}


def explain(scenario: Scenario, folder: Path | None = None) -> RenderableType:
    """For a terminal; `folder` is where the files that it names stand."""
    parts: list[RenderableType] = [
        Text(f"{scenario.name}  {scenario.title}", style="bold"),
        Text(scenario.about.strip()),
        Text(""),
        Text(_setting(scenario)),
        Text(""),
        *_rain(scenario, folder),
    ]
    if scenario.faults:
        parts += [Text(""), _faults(scenario)]
    if scenario.load is not None:
        load = f"Beside it {scenario.load.rate:,.0f} plain reports a second of {scenario.load.registry:,} devices."
        parts += [Text(""), Text(load)]
    return Group(*parts)


def _setting(scenario: Scenario) -> str:
    light = {"clock": "light as the clock says", "night": "dark all along", "day": "daylight all along"}
    equipment, radio = scenario.equipment, scenario.radio
    equipped = (
        f"{_pct(equipment.pipe_gauges)} of manholes with a pipe gauge",
        f"{_pct(equipment.cover_sensors)} with a cover sensor",
        f"{_pct(equipment.road_gauges)} of low points with a road gauge",
        f"{equipment.lamps_per_node:g} lamps a manhole",
    )
    lost = f"{_pct(radio.loss)} of messages lost, {_pct(radio.loss_flooded)} under a flooded cover"
    lines = (
        f"{scenario.hours:g} h, {light[scenario.daylight]}.",
        f"Equipped: {', '.join(equipped)}.",
        f"Speech: {_speeches(scenario)}.",
        f"Radio: {lost}; half of them take {radio.latency_median_s:g} s or longer.",
    )
    return "\n".join(lines)


def _speeches(scenario: Scenario) -> str:
    equipment = scenario.equipment
    shares = equipment.speeches
    whole = sum(shares.values())
    told = [f"{name} {_pct(weight / whole)}" for name, weight in shares.items()]
    gateways = equipment.through_gateways
    if gateways:
        told.append(f"and {_pct(gateways)} of all devices through a gateway")
    return ", ".join(told)


def _pct(share: float) -> str:
    return f"{100 * share:.3g} %"


def _rain(scenario: Scenario, folder: Path | None) -> list[RenderableType]:
    parts: list[RenderableType] = [Text("Rain " + "; ".join(rain_in_words(rain) for rain in scenario.rain))]
    unknown = folder is None and any(isinstance(rain, CsvRain) for rain in scenario.rain)
    if unknown or all(isinstance(rain, NoRain) for rain in scenario.rain):
        return parts
    fallen = hyetographs(scenario.rain, _MIDDLE, scenario.hours * 3600, folder or Path())[:-1, 0]
    strongest, at = _strongest_hour(fallen)
    axis = f"{hours(0)}{hours(scenario.hours * 3600):>{min(_COLUMNS, len(fallen)) - len(hours(0))}}"
    told = (
        f"{fallen.sum() / 60:.1f} mm in all, {strongest:.1f} mm in the strongest hour (from {hours(at * 60)}),"
        f" at most {fallen.max():.0f} mm/h"
    )
    return [*parts, Text(_bars(fallen), style="blue"), Text(f"{axis}   {told}")]


def _strongest_hour(mm_h: Series) -> tuple[float, int]:
    within = np.convolve(mm_h / 60, np.ones(min(60, len(mm_h))), "valid")
    return float(within.max()), int(within.argmax())


def _bars(mm_h: Series) -> str:
    """The strongest minute of each column, as high as its share of the strongest of all."""
    columns = [part.max() for part in np.array_split(mm_h, min(_COLUMNS, len(mm_h)))]
    most = max(columns)
    return "".join(_BARS[int(np.ceil(value / most * (len(_BARS) - 1)))] if most else " " for value in columns)


def _faults(scenario: Scenario) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("when", "what it is", "whom", "what happens", "look for"):
        table.add_column(column, no_wrap=column in ("when", "what it is"), overflow="fold")
    for fault in sorted(scenario.faults, key=lambda each: each.at):
        words = FAULTS[fault.fault]
        nature = Text(words.nature, style=_COLOURS[words.nature])
        table.add_row(span(fault.at, fault.until), nature, whom(fault), words.says(fault), words.look)
    return table

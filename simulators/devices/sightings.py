"""Sightings: Circumstances in columns, one row for each report that is to be made. What profiles measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np

from simulators.devices.chance import Flags, Floats, Ints
from simulators.site import Circumstances


@dataclass(frozen=True)
class Sightings:
    """`unit`: which device of its profile. `fallen_before_mm`: at its previous report. `lit_h`: hours of full light
    since the run began, `on_mains_h` hours of mains. `transmissions`: how often its radio has sent. Of `forced`, NaN is
    what nothing forces."""

    unit: Ints
    at_s: Floats
    hour: Floats
    dark: Flags
    air_c: Floats
    rain_mm_h: Floats
    fallen_mm: Floats
    water_m: Floats
    ponding_cm: Floats
    fill_m: Floats
    flow_m3_s: Floats
    running: Flags
    fallen_before_mm: Floats
    lit_h: Floats
    on_mains_h: Floats
    transmissions: Floats
    forced: Mapping[str, Floats]

    def __len__(self) -> int:
        return len(self.unit)

    def of(self, rows: Ints) -> Sightings:
        """Only these rows."""
        columns = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "forced"}
        forced = {name: values[rows] for name, values in self.forced.items()}
        taken = {name: values[rows] for name, values in columns.items()}
        return Sightings(**taken, forced={name: each for name, each in forced.items() if not np.isnan(each).all()})

    def with_forced(self, name: str, otherwise: Floats) -> Floats:
        """What is forced, and where nothing is, the rest."""
        forced = self.forced.get(name)
        return otherwise if forced is None else np.where(np.isnan(forced), otherwise, forced)

    def told(self, name: str) -> Flags:
        """A state that only happens when something forces it."""
        forced = self.forced.get(name)
        return np.zeros(len(self), np.bool_) if forced is None else np.asarray(np.nan_to_num(forced) != 0)


def sighted(
    seen: Sequence[tuple[int, Circumstances]],
    *,
    fallen_before_mm: Sequence[float] | None = None,
    lit_h: Sequence[float] | None = None,
    transmissions: Sequence[float] | None = None,
) -> Sightings:
    """Columns of what is around units at moments; where no history is given, none is behind them."""

    def column(name: str) -> Floats:
        return np.array([getattr(around, name) for _, around in seen], np.float64)

    def history(given: Sequence[float] | None) -> Floats:
        return np.zeros(len(seen)) if given is None else np.array(given, np.float64)

    names = {name for _, around in seen for name in around.forced or ()}
    return Sightings(
        unit=np.array([unit for unit, _ in seen], np.int64),
        at_s=column("at_s"),
        hour=column("hour"),
        dark=column("dark") != 0,
        air_c=column("air_c"),
        rain_mm_h=column("rain_mm_h"),
        fallen_mm=column("fallen_mm"),
        water_m=column("water_m"),
        ponding_cm=column("ponding_cm"),
        fill_m=column("fill_m"),
        flow_m3_s=column("flow_m3_s"),
        running=column("running") != 0,
        fallen_before_mm=history(fallen_before_mm),
        lit_h=history(lit_h),
        on_mains_h=column("at_s") / 3600,
        transmissions=history(transmissions),
        forced={
            name: np.array([(around.forced or {}).get(name, np.nan) for _, around in seen], np.float64)
            for name in sorted(names)
        },
    )

"""A small street for tests of devices: one storm manhole that fills and empties, an underpass, a pump station, lamps.

The hydrographs are made by hand: water rises from 0.2 m to `peak_m` over the run's second quarter and falls again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulators.around import Around
from simulators.daylight import Daylight
from simulators.faults.struck import Struck
from simulators.hydraulics.hydrographs import Hydrographs
from simulators.message import clock_from
from simulators.roster import RosterDevice
from simulators.site import Site
from underfoot.families import FAMILIES

EVENING_MS = 1_750_069_800_000  # 18:30 in Shanghai
STEP_S = 60
RIM_M, INVERT_M = 52.0, 49.0
DIAMETER_M = 0.6

_KINDS = {"cover": "0103", "road": "2120", "pipe": "0103", "pump": "2115", "rain": "2122", "lamp": "0118"}
_MODELS = {"cover": "YG-C1", "road": "YG-R2", "pipe": "ZY-F3", "pump": "ZY-P8", "rain": "ZY-T02", "lamp": "MT-100"}


def site(family: str, number: int = 1, *, model: str = "", kind: str = "", name: str = "", interval_s: int = 0) -> Site:
    mains = family in ("lamp", "pump")
    device = RosterDevice(
        f"410502-{family}-{number}",
        family,
        "410502",
        kind or _KINDS[family],
        name,
        "",
        model or _MODELS[family],
        interval_s or FAMILIES[family].default_interval_s,
    )
    return Site(
        device,
        asset_code=f"410502{device.kind}{number:06d}",
        area_code="410502",
        lon=114.35,
        lat=36.1,
        node={"road": "low", "pump": "forebay", "cover": "manhole", "pipe": "manhole"}.get(family, ""),
        link={"pipe": "sewer", "pump": "pump"}.get(family, ""),
        gage="" if family == "pump" else "gage",
        rim_m=RIM_M if family in ("cover", "pipe") else 0.0,
        invert_m=INVERT_M if family in ("cover", "pipe") else 0.0,
        diameter_m=DIAMETER_M if family == "pipe" else 0.0,
        uplink="mains" if mains else "nbiot",
    )


def bump(steps: int, low: float, high: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.interp(np.arange(steps), np.array([0.25, 0.5, 0.6, 0.85]) * steps, [low, high, high, low])


def storm(hours: float = 4.0, peak_m: float = 3.2, pond_m: float = 0.3, rain_mm_h: float = 40.0) -> Hydrographs:
    steps = int(hours * 3600 / STEP_S) + 1
    zeros = np.zeros(steps)
    forebay = 1.2 + 1.0 * np.abs((np.arange(steps) / 20) % 2 - 1)  # falls for 20 min while it is pumped, then rises
    pumping = (np.arange(steps) / 20) % 2 < 1
    rain = np.where((np.arange(steps) > steps * 0.2) & (np.arange(steps) < steps * 0.5), rain_mm_h, 0.0)

    def columns(
        *each: np.ndarray[tuple[int], np.dtype[np.float64]],
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return np.stack(each, axis=1).astype(np.float32)

    return Hydrographs(
        step_s=STEP_S,
        nodes=("manhole", "low", "forebay"),
        links=("sewer", "pump"),
        gages=("gage",),
        depth_m=columns(bump(steps, 0.05, peak_m), zeros, forebay),
        flooding_m3_s=columns(zeros, zeros, zeros),
        ponding_m=columns(zeros, bump(steps, 0.0, pond_m), zeros),
        fill_m=columns(np.minimum(bump(steps, 0.05, peak_m), DIAMETER_M), zeros),
        flow_m3_s=columns(bump(steps, 0.004, 0.3), np.where(pumping, 0.2, 0.0)),
        setting=columns(np.ones(steps), np.where(pumping, 1.0, 0.0)),
        rain_mm_h=columns(rain),
    )


def dry(hours: float) -> Hydrographs:
    return storm(hours, peak_m=0.05, pond_m=0.0, rain_mm_h=0.0)


def around(
    sites: Sequence[Site],
    hydrographs: Hydrographs,
    struck: Struck | None = None,
    daylight: Daylight = "clock",
    start_ms: int = EVENING_MS,
) -> Around:
    return Around(hydrographs, sites, struck or Struck(), daylight, clock_from(start_ms))


def street() -> list[Site]:
    """Two of each family, of different makes where there are some."""
    return [
        *(site("cover", number, model=model) for number, model in enumerate(("YG-C1", "AX-200"), 1)),
        *(site("cover", number, kind=kind) for number, kind in enumerate(("0102", "0105"), 3)),
        *(site("road", number, model=model) for number, model in enumerate(("YG-R2", "ZY-L5"), 1)),
        site("road", 3, name="东风路下穿"),
        *(site("pipe", number, model=model) for number, model in enumerate(("ZY-F3", "AX-310"), 1)),
        site("pump", 1, name="东风路泵站1号泵"),
        site("pump", 2, name="东风路泵站2号泵"),
        *(site("rain", number, model=model) for number, model in enumerate(("ZY-T02", "ZY-T01"), 1)),
        *(site("lamp", number, model=model) for number, model in enumerate(("MT-60", "MT-100"), 1)),
    ]

"""Writes a designed plan: OUT.inp for SWMM, OUT.yaml, its mapping file. The last step of the generator."""

from __future__ import annotations

import math
from pathlib import Path

from swmm_api import SwmmInput
from swmm_api.input_file import sections as formats

from simulators.network.plan import Plan
from simulators.network.sizing import ROUGHNESS, STARTS_ABOVE_STOP_M
from underfoot.plain_yaml import write_yaml

_OPTIONS = {
    "FLOW_UNITS": "CMS",
    "INFILTRATION": "HORTON",
    "FLOW_ROUTING": "DYNWAVE",
    "LINK_OFFSETS": "DEPTH",
    "ALLOW_PONDING": "YES",
    "START_DATE": "07/20/2026",
    "START_TIME": "12:00:00",
    "REPORT_START_DATE": "07/20/2026",
    "REPORT_START_TIME": "12:00:00",
    "END_DATE": "07/20/2026",
    "END_TIME": "18:00:00",
    "REPORT_STEP": "00:01:00",
    "WET_STEP": "00:01:00",
    "DRY_STEP": "00:01:00",
    "ROUTING_STEP": "5",
    "VARIABLE_STEP": "0.75",
    "MIN_SURFAREA": "1.167",
    "MAX_TRIALS": "8",
    "HEAD_TOLERANCE": "0.0015",
    "THREADS": "1",
}
_STOP_M, _START_STEP_M = 1.1, 0.3
_FLOW_LENGTH_M = 55.0
"""How far rain runs over a roof, a yard and a gutter to the next inlet."""

# Mean 1.0; the peak hours stay below FOUL_PEAK.
_HOURS = (
    *(0.55, 0.45, 0.4, 0.4, 0.45, 0.65, 1.05, 1.4, 1.35, 1.2, 1.1, 1.15),
    *(1.25, 1.15, 1.0, 0.95, 1.0, 1.15, 1.4, 1.45, 1.35, 1.2, 1.0, 0.95),
)


def write(plan: Plan, inp: Path, mapping: Path) -> None:
    """Write both files; what stood there is replaced."""
    inp.write_text(_inp(plan).to_string(fast=False), encoding="utf-8")
    mapping.write_text(write_yaml({"title": plan.title, **plan.mapping}), encoding="utf-8")


def _inp(plan: Plan) -> SwmmInput:
    inp = SwmmInput()
    inp["TITLE"] = f"{plan.title}\n{len(plan.chambers)} nodes, made by underfoot"
    inp["OPTIONS"] = dict(_OPTIONS)
    _write_chambers(plan, inp)
    _write_sewers(plan, inp)
    _write_pumps(plan, inp)
    _write_rain(plan, inp)
    _write_foul(plan, inp)
    return inp


def _write_chambers(plan: Plan, inp: SwmmInput) -> None:
    for chamber in plan.chambers.values():
        name, invert = chamber.name, chamber.invert_m
        depth = round(chamber.ground_m - invert, 3)
        if chamber.kind == "outfall":
            inp["OUTFALLS"].add_obj(formats.Outfall(name, invert, "FREE"))
        elif chamber.kind in ("well", "basin"):
            floor = [0.0, 0.0, round(chamber.floor_m2, 1)]
            filled_m = _STOP_M if chamber.kind == "well" else 0.0
            inp["STORAGE"].add_obj(formats.Storage(name, invert, depth, filled_m, "FUNCTIONAL", data=floor))
        else:
            inp["JUNCTIONS"].add_obj(formats.Junction(name, invert, depth, area_ponded=round(chamber.pond_m2)))
        inp["COORDINATES"].add_obj(formats.Coordinate(name, round(chamber.x, 2), round(chamber.y, 2)))


def _write_sewers(plan: Plan, inp: SwmmInput) -> None:
    for sewer in plan.sewers:
        upper, lower = plan.chambers[sewer.upper], plan.chambers[sewer.lower]
        inp["CONDUITS"].add_obj(
            formats.Conduit(
                sewer.name,
                sewer.upper,
                sewer.lower,
                sewer.length_m,
                ROUGHNESS,
                round(sewer.up_m - upper.invert_m, 3),
                round(sewer.down_m - lower.invert_m, 3),
            )
        )
        inp["XSECTIONS"].add_obj(formats.CrossSection(sewer.name, "CIRCULAR", sewer.diameter_m))


def _write_pumps(plan: Plan, inp: SwmmInput) -> None:
    for pumps in plan.pumps:
        curve = f"{pumps.well}-curve"
        # Flow by the well's depth: steady once it runs.
        points = [(0.0, round(pumps.flow_m3_s, 4)), (12.0, round(pumps.flow_m3_s, 4))]
        inp["CURVES"].add_obj(formats.Curve(curve, "PUMP4", points))
        for number in range(pumps.number):
            start = round(_STOP_M + STARTS_ABOVE_STOP_M + number * _START_STEP_M, 2)
            name = f"{pumps.well}-P{number + 1}"
            inp["PUMPS"].add_obj(formats.Pump(name, pumps.well, pumps.to, curve, "OFF", start, _STOP_M))


def _write_rain(plan: Plan, inp: SwmmInput) -> None:
    # As text: swmm-api's own object would set the locale of this process.
    inp["TIMESERIES"] = "dry 0:00 0\ndry 1:00 0\n"
    for name, (x, y) in plan.gages.items():
        inp["RAINGAGES"].add_obj(formats.RainGage(name, "INTENSITY", "0:01", 1.0, "TIMESERIES", timeseries="dry"))
        inp["SYMBOLS"].add_obj(formats.Symbol(name, round(x, 1), round(y, 1)))
    for chamber in plan.chambers.values():
        if not chamber.area_ha:
            continue
        name = f"S-{chamber.name}"
        gage = min(plan.gages, key=lambda each: math.dist(plan.gages[each], (chamber.x, chamber.y)))
        width = round(chamber.area_ha * 10_000 / _FLOW_LENGTH_M, 1)
        inp["SUBCATCHMENTS"].add_obj(
            formats.SubCatchment(name, gage, chamber.name, round(chamber.area_ha, 3), chamber.imperv_pct, width, 1.0)
        )
        inp["SUBAREAS"].add_obj(formats.SubArea(name, 0.013, 0.2, 1.5, 5.0, 25, "OUTLET"))
        inp["INFILTRATION"].add_obj(formats.InfiltrationHorton(name, 76.0, 10.0, 4.0, 7.0, 0))


def _write_foul(plan: Plan, inp: SwmmInput) -> None:
    inp["PATTERNS"].add_obj(formats.Pattern("hours", "HOURLY", factors=list(_HOURS)))
    for chamber in plan.chambers.values():
        if chamber.dry_l_s:
            flow = round(chamber.dry_l_s / 1000, 6)
            inp["DWF"].add_obj(formats.DryWeatherFlow(chamber.name, "FLOW", flow, "hours"))

"""Scenarios in plain words: what each fault does to whom, and what a tester should look for. For `explain`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from simulators.scenario.faults import Fault, Pick, PickPipe, PickPump
from simulators.scenario.model import (
    CellRain,
    ChicagoRain,
    CsvRain,
    Rain,
    RecordRain,
    UniformRain,
)

Nature = Literal["hazard", "lie", "silence", "on the way", "attack"]
"""Really so; only said so; nothing said; distorted between device and broker; somebody else's."""


class Words(NamedTuple):
    nature: Nature
    says: Callable[[Any], str]
    look: str


FAULTS: dict[str, Words] = {
    "open_cover": Words(
        "hazard",
        lambda fault: (
            "cover open, lying beside its hole" if fault.tilt_deg == 0 else f"cover open, at {fault.tilt_deg:g}°"
        ),
        "cover.open 红 within 30 s, one crew message each; cleared when it is put back",
    ),
    "tilted_cover": Words(
        "hazard",
        lambda fault: f"cover tilted by {fault.tilt_deg:g}°, not open",
        "cover.tilt: 黄 from 10°, 橙 from 15°, 红 from 30°",
    ),
    "vibration": Words(
        "hazard", lambda fault: "cover shaken, stays where it is", "cover.vibration, and no cover.open of it"
    ),
    "blocked_pipe": Words(
        "hazard",
        lambda fault: (
            "pipe shut" if fault.open_share == 0 else f"pipe lets {100 * fault.open_share:g} % of its full flow through"
        ),
        "drainage.blockage naming this pipe; high levels above it are told as its consequence",
    ),
    "failed_pump": Words(
        "hazard",
        lambda fault: f"pump stands still, its controller {'says so' if fault.tells else 'says nothing'}",
        "pump.fault where it says so; else pump.forebay_idle and road.rising_pump_off, if water rises",
    ),
    "failed_lamp": Words(
        "hazard", lambda fault: "lamp commanded on, draws nothing", "lamp.out after three reports in the dark"
    ),
    "leakage": Words(
        "hazard",
        lambda fault: (
            f"pole leaks {fault.leakage_ma:g} mA"
            + (f", {fault.touch_voltage_v:g} V to be touched" if fault.touch_voltage_v else "")
        ),
        "lamp.leakage: 橙 from 30 mA, 红 from 100 mA; with water around it lamp.leaking_in_water",
    ),
    "stuck_sensor": Words(
        "lie",
        lambda fault: f"{', '.join(fault.fields) or 'all values'} stay what they were",
        "pipe.stuck or rain.stuck; nothing else is raised of it",
    ),
    "drifting_sensor": Words(
        "lie",
        lambda fault: f"{fault.field} off by {fault.per_hour:+g} more every hour",
        "no hazard of this device: its neighbours do not agree",
    ),
    "spiking_sensor": Words(
        "lie",
        lambda fault: f"{100 * fault.share:g} % of readings of {fault.field} off by ±{fault.size:g}",
        "no alarm of a single reading",
    ),
    "dead_sensor": Words(
        "silence", lambda fault: "nothing comes any more", "offline after its time; never an all-clear"
    ),
    "power_cut": Words(
        "silence",
        lambda fault: "no mains: lamps, pumps and gateways there do and say nothing",
        "gateway.outage once for those behind one; offline; no lamp.out of what says nothing",
    ),
    "duplicate": Words(
        "on the way",
        lambda fault: f"{100 * fault.share:g} % of messages come again within {fault.within_s:g} s",
        "stored once; no second alarm",
    ),
    "reorder": Words(
        "on the way",
        lambda fault: f"messages of {fault.within_s:g} s come in any order",
        "an older report never replaces a newer one; each is stored",
    ),
    "delay": Words(
        "on the way",
        lambda fault: f"every message {fault.seconds:g} s late, with its own time",
        "event times are the device's; no offline for a delay shorter than its grace",
    ),
    "loss": Words(
        "on the way",
        lambda fault: f"{100 * fault.share:g} % of messages lost",
        "gaps; offline only where the silence is long enough",
    ),
    "corrupt_payload": Words(
        "on the way",
        lambda fault: f"{100 * fault.share:g} % of messages arrive damaged",
        "each in quarantine, whole, with its reason; its neighbours are stored",
    ),
    "wrong_clock": Words(
        "lie",
        lambda fault: "times count from 1970" if fault.since_1970 else f"times off by {_lasting(fault.by_s)}",
        "reports kept under the time of receipt and marked; an open cover is raised all the same",
    ),
    "gateway_outage": Words(
        "silence",
        lambda fault: "gateway gone; " + ("what it kept comes afterwards" if fault.keeps else "what it heard is lost"),
        "gateway.outage, not one offline a device; what comes late corrects the record and calls nobody",
    ),
    "reconnect_storm": Words(
        "on the way",
        lambda fault: f"{100 * fault.share:g} % of connections drop, and come back within {fault.within_s:g} s",
        "the books balance; nobody is called offline for it",
    ),
    "malicious_publisher": Words(
        "attack",
        lambda fault: f"{fault.rate:g} messages a second under others' names and unknown ones, or no reports at all",
        "quarantine has them with their reasons; no alarm; nobody else is slower",
    ),
}
"""By name, as `fault:` has it."""


def whom(fault: Fault) -> str:
    """Whom it strikes, as far as the file says."""
    pick = getattr(fault, "pick", None)
    if isinstance(pick, Pick):
        return _devices(pick)
    if isinstance(pick, PickPipe):
        return _named(pick.pipes) or _counted(pick.count, f"{pick.water} pipe".removeprefix("None "))
    if isinstance(pick, PickPump):
        return _named(pick.pumps) or _counted(pick.count, "pump")
    if fault.fault == "gateway_outage":
        return _named(fault.gateways) or _counted(fault.count, "gateway")
    return "all connections" if fault.fault == "reconnect_storm" else "the broker"


def span(at_s: float, until_s: float | None) -> str:
    return f"{hours(at_s)} – {'end' if until_s is None else hours(until_s)}"


def hours(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}" + (f":{rest:02d}" if rest else "")


def rain_in_words(rain: Rain) -> str:
    match rain:
        case ChicagoRain():
            return (
                f"from {hours(rain.begins)}: design storm of {rain.minutes} min by {rain.site}'s formula, once in"
                f" {rain.period_years:g} years, strongest about {hours(rain.begins + rain.peak_at * rain.minutes * 60)}"
            )
        case UniformRain():
            return f"from {hours(rain.begins)}: {rain.mm_h:g} mm/h for {rain.minutes} min, everywhere alike"
        case CsvRain():
            return f"from {hours(rain.begins)}: as {rain.file} says, minute by minute"
        case RecordRain():
            scaled = "" if rain.scale == 1 else f" × {rain.scale:g}"
            return f"from {hours(rain.begins)}: {rain.event} as it was on record{scaled}"
        case CellRain():
            return (
                f"a cell of {rain.width_m:g} m, at most {rain.mm_h:g} mm/h, comes from {rain.from_deg:g}° at"
                f" {rain.speed_m_s:g} m/s and is over the city's middle at {hours(rain.over_middle)}"
            )
        case _:
            return "none"


def _devices(pick: Pick) -> str:
    if pick.devices:
        return _named(pick.devices)
    what = pick.family or "device"
    where = (f" at {pick.place}" if pick.place else "") + (f" near {pick.near}" if pick.near else "")
    if pick.share is not None:
        return f"{100 * pick.share:g} % of {what}s{where}"
    return _counted(pick.count, what + where) if pick.count is not None else f"every {what}{where}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} × {what}"


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def _lasting(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= size and seconds % size == 0:
            return f"{seconds / size:+g} {unit}"
    return f"{seconds:+g} s"

"""Where a device stands in a simulated city, and how it speaks: between the network and what its sensors see.

network → sites → hydraulics → circumstances → devices → reports → speech → play
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from simulators.roster import RosterDevice

Speech = str
"""How its messages are written: `json`, `cbor`, `gateway` (in batches of its gateway), or a shipped vendor mapping."""

Uplink = Literal["nbiot", "mains"]


@dataclass(frozen=True, slots=True)
class Site:
    """A device and the elements of the network that it watches; a name is empty where there is none.

    `rim_m` and `invert_m` are of its node. `zero_m`: from where its level gauge measures, above the invert.
    `diameter_m` is of its link (the node's outlet for pipe gauges).
    """

    device: RosterDevice
    asset_code: str
    area_code: str
    lon: float
    lat: float
    node: str = ""
    link: str = ""
    gage: str = ""
    rim_m: float = 0.0
    invert_m: float = 0.0
    zero_m: float = 0.0
    diameter_m: float = 0.0
    gateway_id: str = ""
    speech: Speech = "json"
    uplink: Uplink = "nbiot"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is around one site at one moment of simulated time: the truth, before any sensor looks at it.

    `water_m`: above the node's invert, unclipped. `ponding_cm`: over the road. `fill_m` and `flow_m3_s`: in the link.
    `forced`: what faults dictate (`open`, `tilt_deg`, `vibration`, `lamp_failed`, `leakage_ma`, …), by the scenario's
    fault fields.
    """

    at_s: float
    hour: float
    """Local time of day, 0 to 24."""
    dark: bool
    air_c: float
    rain_mm_h: float = 0.0
    fallen_mm: float = 0.0
    """Since the run began, at its gage."""
    water_m: float = 0.0
    ponding_cm: float = 0.0
    fill_m: float = 0.0
    flow_m3_s: float = 0.0
    running: bool = False
    forced: dict[str, float] | None = None


class Reported(NamedTuple):
    """A report as a device made it, before it is written down: in order of `sent_s`.

    `measured_s` and `sent_s` are seconds of simulated time: a device that was asleep or had no signal sends later than
    it measures. `kind`: heartbeat, event, adaptive or backlog.
    """

    sent_s: float
    measured_s: float
    site: Site
    seq: int | None
    values: dict[str, Any]
    kind: str

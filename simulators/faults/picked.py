"""Picked: from a scenario's picks to the devices, pipes, pumps and gateways of one city. The same seed picks the same.

What leaves no choice is settled first; then what really happens, and last what only lies or is lost, so that a sensor
that lies is not the one that has something to tell, as long as there are enough.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, Protocol

from simulators.faults.candidates import Candidates, refuse, several
from simulators.faults.contradiction import until_s
from simulators.faults.pipes import choose, told
from simulators.faults.struck import FOREVER, Blockage, During, Forced, PumpFailure, Struck
from simulators.message import Clock
from simulators.network.model import Link, Network
from simulators.scenario.faults import (
    BlockedPipe,
    DeadSensor,
    DriftingSensor,
    FailedLamp,
    FailedPump,
    Fault,
    GatewayOutage,
    Leakage,
    MaliciousPublisher,
    OpenCover,
    Pick,
    PowerCut,
    ReconnectStorm,
    SpikingSensor,
    StuckSensor,
    TiltedCover,
    Vibration,
    WrongClock,
)
from simulators.scenario.model import Scenario
from simulators.site import Site
from simulators.truth import Lie

_OF_PLACES = OpenCover | TiltedCover | Vibration | FailedLamp | Leakage
_OF_SENSORS = StuckSensor | DriftingSensor | SpikingSensor | DeadSensor | PowerCut


class City(Protocol):
    """What is asked of a city that is laid out from a network."""

    @property
    def sites(self) -> tuple[Site, ...]: ...

    @property
    def pipe_ids(self) -> Mapping[str, str]:
        """By link."""


def picked(scenario: Scenario, city: City, network: Network, seed: int) -> Struck:
    """Whom the faults strike. Raises ScenarioError where the city does not have what they want."""
    picking = _Picking(city, network, seed)
    for number, fault in sorted(enumerate(scenario.faults), key=lambda numbered: (_turn(numbered[1]), numbered[0])):
        picking.strike(number, fault)
    return picking.struck()


def lies(struck: Struck, clock: Clock) -> tuple[Lie, ...]:
    """What devices say that is not so, or do not say; by device and time. A wrong clock lies about `ts` alone."""
    by_device: list[tuple[str, Sequence[During[Any]]]] = [*struck.sensors.items(), *struck.on_the_way.items()]
    found = [
        (device_id, one.begins_s, one.until_s, one.fault.fault, _lied_about(one.fault))
        for device_id, during in by_device
        for one in during
        if isinstance(one.fault, _OF_SENSORS | WrongClock)
    ]
    return tuple(
        Lie(
            fault=fault,
            device_id=device_id,
            begins_ms=clock(begins_s),
            ends_ms=None if ends_s == FOREVER else clock(ends_s),
            fields=fields,
        )
        for device_id, begins_s, ends_s, fault, fields in sorted(found)
    )


def _lied_about(fault: Any) -> tuple[str, ...]:
    if isinstance(fault, WrongClock):
        return ("ts",)
    if isinstance(fault, StuckSensor):
        return fault.fields
    return (fault.field,) if isinstance(fault, DriftingSensor | SpikingSensor) else ()


def _turn(fault: Fault) -> int:
    pick = getattr(fault, "pick", None)
    if isinstance(fault, PowerCut):
        return 0  # it takes whatever stands there
    if isinstance(pick, Pick) and pick.count is None and pick.share is None:
        return 0
    if getattr(pick, "pipes", ()) or getattr(pick, "pumps", ()) or getattr(fault, "gateways", ()):
        return 0
    if isinstance(fault, BlockedPipe | FailedPump | _OF_PLACES):
        return 1
    return 2 if isinstance(fault, _OF_SENSORS) else 3


class _Picking:
    def __init__(self, city: City, network: Network, seed: int) -> None:
        self.city = city
        self.network = network
        self.seed = seed
        self.candidates = Candidates(city.sites)
        self.blockages: list[Blockage] = []
        self.pump_failures: list[PumpFailure] = []
        self.forced: dict[str, list[Forced]] = defaultdict(list)
        self.sensors: dict[str, list[During[Any]]] = defaultdict(list)
        self.on_the_way: dict[str, list[During[Any]]] = defaultdict(list)
        self.gateways: dict[str, list[During[GatewayOutage]]] = defaultdict(list)
        self.connections: list[During[ReconnectStorm]] = []
        self.malicious: list[During[MaliciousPublisher]] = []

    def strike(self, number: int, fault: Fault) -> None:
        random = Random(f"picked {self.seed} {number} {fault.fault}")
        if isinstance(fault, BlockedPipe):
            self._block(number, fault, random)
        elif isinstance(fault, FailedPump):
            self._stop(number, fault, random)
        elif isinstance(fault, GatewayOutage):
            self._cut_off(number, fault, random)
        elif isinstance(fault, ReconnectStorm):
            self.connections.append(During(fault, fault.at, until_s(fault)))
        elif isinstance(fault, MaliciousPublisher):
            self.malicious.append(During(fault, fault.at, until_s(fault)))
        else:
            sites = self.candidates.choose(number, fault, fault.pick, random)
            for site in sites:
                self._befall(fault, site)
            if isinstance(fault, PowerCut):
                self._power_gateways(fault, {site.device.device_id for site in sites})

    def struck(self) -> Struck:
        return Struck(
            blockages=tuple(sorted(self.blockages, key=lambda one: (one.begins_s, one.link))),
            pump_failures=tuple(sorted(self.pump_failures, key=lambda one: (one.begins_s, one.link))),
            forced=_in_order(self.forced),
            sensors=_in_order(self.sensors),
            on_the_way=_in_order(self.on_the_way),
            gateways=_in_order(self.gateways),
            connections=tuple(sorted(self.connections, key=lambda one: one.begins_s)),
            malicious=tuple(sorted(self.malicious, key=lambda one: one.begins_s)),
        )

    def _befall(self, fault: Fault, site: Site) -> None:
        device_id = site.device.device_id
        if isinstance(fault, _OF_PLACES):
            self.forced[device_id].append(Forced(fault.fault, fault.at, until_s(fault), _really(fault)))
            return
        during: During[Any] = During(fault, fault.at, until_s(fault))
        if not isinstance(fault, _OF_SENSORS):
            self.on_the_way[device_id].append(during)
            return
        self.sensors[device_id].append(during)
        if isinstance(fault, PowerCut) and self._is_pump(site):
            self.pump_failures.append(PumpFailure(site.link, fault.at, until_s(fault)))

    # pipes ------------------------------------------------------------------------------------------------------------
    def _block(self, number: int, fault: BlockedPipe, random: Random) -> None:
        pick = fault.pick
        blocked = {one.link for one in self.blockages if one.begins_s < until_s(fault) and fault.at < one.until_s}
        if pick.pipes:
            links = [self._pipe(number, fault, name, blocked) for name in pick.pipes]
        else:
            of_all = told(self.network, self.city.sites, pick.water)
            free = [
                one
                for one in of_all
                if one.link.name in self.city.pipe_ids
                and one.link.name not in blocked
                and not any(self.candidates.lie_while(fault, each) for each in one.gauges)
            ]
            if len(free) < pick.count:
                water = f"{pick.water} " if pick.water else ""
                conduits = sum(link.kind == "conduit" for link in self.network.links.values())
                gauges = sum(site.device.family == "pipe" for site in self.city.sites)
                refuse(
                    number,
                    fault,
                    f"pick: wants {pick.count} × {water}pipe with a gauge above and one below; of {conduits} conduits"
                    f" beside {gauges} gauges {len(of_all)} have that, and {len(free)} are free of other faults. Equip"
                    " more (equipment.pipe_gauges) or name pipes",
                )
            chosen = choose(free, pick.count, random)
            links = [one.link for one in chosen]
            self.candidates.spare(site for one in chosen for site in one.gauges)
        for link in links:
            pipe_id = self.city.pipe_ids.get(link.name, "")
            self.blockages.append(Blockage(link.name, pipe_id, fault.at, until_s(fault), fault.open_share))

    def _pipe(self, number: int, fault: BlockedPipe, name: str, blocked: set[str]) -> Link:
        by_id = {pipe_id: link for link, pipe_id in self.city.pipe_ids.items()}
        link = self.network.links.get(by_id.get(name, name))
        if link is None:
            conduits = [one.name for one in self.network.links.values() if one.kind == "conduit"]
            refuse(number, fault, f"pick.pipes = {name!r}: no such pipe; {several(name, [*by_id, *conduits])}")
        if link.kind != "conduit":
            refuse(number, fault, f"pick.pipes = {name!r}: it is of kind {link.kind}; only a conduit can be blocked")
        if link.name in blocked:
            refuse(number, fault, f"pick.pipes = {name!r}: it is blocked already at that time")
        return link

    # pumps ------------------------------------------------------------------------------------------------------------
    def _stop(self, number: int, fault: FailedPump, random: Random) -> None:
        pick = fault.pick
        sites: list[Site] = [site for site in self.city.sites if self._is_pump(site)]
        by_name = {name: site for site in sites for name in (site.link, site.asset_code, site.device.device_id)}
        pumps = [link.name for link in self.network.links.values() if link.kind == "pump"]
        if pick.pumps:
            for name in pick.pumps:
                if name not in by_name and name not in pumps:
                    refuse(number, fault, f"pick.pumps = {name!r}: no such pump; {several(name, [*pumps, *by_name])}")
                self._stand_still(number, fault, by_name.get(name), name)
            return
        free = self.candidates.free(fault, sites)
        if len(free) < pick.count:
            refuse(
                number,
                fault,
                f"pick: wants {pick.count} × pump; the network has {len(pumps)}, {len(sites)} with a device, of which"
                f" {len(free)} are free of faults that contradict",
            )
        for site in self.candidates.rather_fresh(free, pick.count, random):
            self._stand_still(number, fault, site, site.link)

    def _stand_still(self, number: int, fault: FailedPump, site: Site | None, link: str) -> None:
        if site is not None:
            self.candidates.take(number, fault, [site], "pick.pumps")
            link = site.link
            if fault.tells:
                told_ = Forced(fault.fault, fault.at, until_s(fault), {"fault": 1.0})
                self.forced[site.device.device_id].append(told_)
        self.pump_failures.append(PumpFailure(link, fault.at, until_s(fault)))

    def _is_pump(self, site: Site) -> bool:
        link = self.network.links.get(site.link)
        return site.device.family == "pump" and link is not None and link.kind == "pump"

    # gateways ---------------------------------------------------------------------------------------------------------
    def _cut_off(self, number: int, fault: GatewayOutage, random: Random) -> None:
        there = sorted({site.gateway_id for site in self.city.sites if site.speech == "gateway"})
        if not there:
            refuse(number, fault, "no device speaks through a gateway: equipment.through_gateways says how many do")
        free = [
            gateway_id
            for gateway_id in there
            if not any(
                one.begins_s < until_s(fault) and fault.at < one.until_s for one in self.gateways.get(gateway_id, ())
            )
        ]
        for gateway_id in fault.gateways:
            if gateway_id not in there:
                refuse(number, fault, f"gateways = {gateway_id!r}: no such gateway; {several(gateway_id, there)}")
            if gateway_id not in free:
                refuse(number, fault, f"gateways = {gateway_id!r}: another outage has it at that time")
        if not fault.gateways and len(free) < fault.count:
            refuse(number, fault, f"count = {fault.count}: there are {len(there)} gateways, {len(free)} of them free")
        for gateway_id in fault.gateways or random.sample(free, fault.count):
            self.gateways[gateway_id].append(During(fault, fault.at, until_s(fault)))

    def _power_gateways(self, fault: PowerCut, without: set[str]) -> None:
        """A gateway goes with at least half of those of its devices that have mains."""
        mains: dict[str, list[bool]] = defaultdict(list)
        for site in self.city.sites:
            if site.speech == "gateway" and site.uplink == "mains":
                mains[site.gateway_id].append(site.device.device_id in without)
        for gateway_id, cut in mains.items():
            if 2 * sum(cut) >= len(cut):
                outage = GatewayOutage(fault="gateway_outage", gateways=(gateway_id,), keeps=False)
                self.gateways[gateway_id].append(During(outage, fault.at, until_s(fault)))


def _really(fault: Fault) -> dict[str, float]:
    match fault:
        case OpenCover():
            return {"open": 1.0, "tilt_deg": fault.tilt_deg}
        case TiltedCover():
            return {"tilt_deg": fault.tilt_deg}
        case Vibration():
            return {"vibration": 1.0}
        case FailedLamp():
            return {"lamp_failed": 1.0}
        case Leakage():
            return {"leakage_ma": fault.leakage_ma, "touch_voltage_v": fault.touch_voltage_v}
    raise TypeError(f"{fault.fault} makes nothing really so")


def _in_order(found: Mapping[str, Iterable[Any]]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(sorted(found[name], key=lambda one: one.begins_s)) for name in sorted(found)}

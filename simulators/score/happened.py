"""What happened: the truth of a run, from its hydrographs and its faults, never from what a device said.

hydrographs + faults → things, each with its place and its time → hazards, numbered by time. Definitions: docs/score.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from simulators.faults.picked import lies
from simulators.faults.struck import FOREVER, During, OnTheWay, Struck
from simulators.hydraulics.hydrographs import Hydrographs
from simulators.message import Clock
from simulators.network.city import NetworkCity
from simulators.network.model import Network
from simulators.scenario.faults import MaliciousPublisher, WrongClock
from simulators.scenario.model import Scenario
from simulators.score.held_up import HeldUp
from simulators.score.limits import TrueLimits, shipped_limits
from simulators.score.of_devices import failed_pumps, forced_things, gateway_outages, silences
from simulators.score.rainfall import heavy_rain
from simulators.score.sight import Sight
from simulators.score.thing import Thing
from simulators.score.water import Water
from simulators.truth import Lie, TrueHazard, Truth


def what_happened(
    city: NetworkCity,
    network: Network,
    hydrographs: Hydrographs,
    struck: Struck,
    scenario: Scenario,
    clock: Clock,
    *,
    seed: int,
) -> Truth:
    """The truth of a run of a city."""
    things = _things(city, network, hydrographs, struck, scenario, clock, shipped_limits())
    return Truth(
        scenario=scenario.name,
        seed=seed,
        network=network.name,
        begins_ms=clock(0),
        ends_ms=clock(hydrographs.seconds),
        devices=len(city.sites),
        hazards=_numbered(things, clock),
        lies=(*lies(struck, clock), *_spoilt(struck, clock)),
    )


def _spoilt(struck: Struck, clock: Clock) -> tuple[Lie, ...]:
    """What is lost, late or made up on the way makes alarms about that right, too. Who is malicious writes under any
    name: such a lie is of no device."""
    spoilt: list[tuple[str, During[OnTheWay] | During[MaliciousPublisher]]] = [
        (device_id, during)
        for device_id, happenings in sorted(struck.on_the_way.items())
        for during in happenings
        if not isinstance(during.fault, WrongClock)  # that is a lie of its own already
    ]
    spoilt += [("", during) for during in struck.malicious]
    return tuple(
        Lie(
            fault=during.fault.fault,
            device_id=device_id,
            begins_ms=clock(during.begins_s),
            ends_ms=None if during.until_s == FOREVER else clock(during.until_s),
        )
        for device_id, during in spoilt
    )


def _things(
    city: NetworkCity,
    network: Network,
    hydrographs: Hydrographs,
    struck: Struck,
    scenario: Scenario,
    clock: Clock,
    limits: TrueLimits,
) -> Iterator[Thing]:
    sight = Sight(city.sites, struck, hydrographs.seconds)
    water = Water(city, network, hydrographs, sight, limits)
    yield from water.happened()
    yield from HeldUp(city, network, hydrographs, sight, limits.blockage).happened(struck)
    yield from heavy_rain(city, hydrographs, sight, limits.rain)
    yield from forced_things(struck, sight, limits, scenario, clock)
    yield from failed_pumps(city, struck, sight, limits, water)
    outages = list(gateway_outages(sight, limits))
    yield from outages
    yield from silences(city, sight, limits, outages)


def _numbered(things: Iterator[Thing], clock: Clock) -> tuple[TrueHazard, ...]:
    """By time, each kind with its own numbers: the same run has the same names."""
    numbers: Counter[str] = Counter()
    hazards = []
    for thing in sorted(things, key=lambda one: (one.begins_s, one.kind, one.place)):
        numbers[thing.kind] += 1
        hazards.append(thing.hazard(f"{thing.kind}-{numbers[thing.kind]}", clock))
    return tuple(hazards)

"""The world of a run, from a scenario and a network to the messages that its devices send and the truth about it.

    network + scenario → city → struck → rain → hydraulics → around → reports → carriage → messages, truth

It follows from scenario, network, seed and clock alone: the same give the same messages, byte for byte.
"""

from __future__ import annotations

import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from simulators.around import Around
from simulators.faults.carriage import Carried, carry
from simulators.faults.picked import picked
from simulators.faults.struck import Struck
from simulators.hydraulics.hydrographs import Hydrographs
from simulators.hydraulics.run import run_hydraulics
from simulators.message import Clock, Due
from simulators.network.city import NetworkCity, lay_out_city
from simulators.network.mapping import Mapping, mapped, read_mapping
from simulators.network.model import Network
from simulators.network.read import read_network
from simulators.rain import hyetographs
from simulators.reporting import reports
from simulators.scenario.load import ScenarioFile
from simulators.scenario.model import Scenario
from simulators.score.happened import what_happened
from simulators.truth import Truth
from simulators.world.folder import RunFolder, fingerprint
from simulators.world.span import Span
from underfoot import __version__
from underfoot.city_time import CITY_ZONE

Say = Callable[[str], None]

_VERSIONS_OF = ("pyswmm", "swmm-toolkit", "swmm-api", "numpy")


@dataclass
class World:
    """One run's. `carried` counts what becomes of its reports while its messages are taken, `unheard` what devices say
    and nobody ever hears."""

    scenario: Scenario
    network: Network
    city: NetworkCity
    struck: Struck
    hydrographs: Hydrographs
    seed: int
    span: Span
    folder: RunFolder
    carried: Carried = field(default_factory=Carried)
    unheard: Counter[str] = field(default_factory=Counter)

    @property
    def clock(self) -> Clock:
        return self.span.clock

    @cached_property
    def around(self) -> Around:
        return Around(self.hydrographs, self.city.sites, self.struck, self.scenario.daylight, self.clock)

    def messages(self) -> Iterator[Due]:
        """What its devices send, in order, in seconds of the run. Once: `carried` counts along."""
        radio, seconds = self.scenario.radio, self.hydrographs.seconds
        made = reports(self.city.sites, self.around, self.struck, radio, self.seed, seconds, self.unheard)
        return carry(made, self.struck, self.clock, self.seed, self.carried)

    @property
    def lost(self) -> Counter[str]:
        """What never reached anybody, by reason, as far as its messages have been taken."""
        return self.carried.lost + self.unheard

    def truth(self) -> Truth:
        return what_happened(
            self.city, self.network, self.hydrographs, self.struck, self.scenario, self.clock, seed=self.seed
        )

    def description(self) -> dict[str, Any]:
        """What it takes to repeat it."""
        return {
            "scenario": self.scenario.name,
            "title": self.scenario.title,
            "seed": self.seed,
            "network": self.network.name,
            "nodes": len(self.network.nodes),
            "links": len(self.network.links),
            "devices": len(self.city.sites),
            "hours": self.scenario.hours,
            "speed": self.span.speed,
            "begins_ms": self.span.begins_ms,
            "ends_ms": self.span.ends_ms,
            "versions": {"underfoot": __version__, "python": platform.python_version()}
            | {name: version(name) for name in _VERSIONS_OF},
        }


def prepare(
    chosen: ScenarioFile,
    inp: Path,
    mapping: Path | None,
    seed: int,
    span: Span,
    folder: RunFolder,
    say: Say = lambda _: None,
    on_progress: Callable[[float], None] | None = None,
) -> World:
    """Everything up to the first message; copies of what it follows from are in the run's folder."""
    scenario = chosen.scenario
    say("读取管网 · reading the network")
    said = Mapping() if mapping is None else read_mapping(mapping)
    network = mapped(read_network(inp), said)
    folder.scenario.write_text(chosen.text, encoding="utf-8")
    _copy(inp, folder.network)
    say("布设部件与设备 · laying out the city")
    city = lay_out_city(network, scenario.equipment, seed, said)
    city.write(folder.city)
    struck = picked(scenario, city, network, seed)
    hydrographs = _water(chosen, inp, network, city, struck, span, folder, say, on_progress)
    return World(scenario, network, city, struck, hydrographs, seed, span, folder)


def _water(
    chosen: ScenarioFile,
    inp: Path,
    network: Network,
    city: NetworkCity,
    struck: Struck,
    span: Span,
    folder: RunFolder,
    say: Say,
    on_progress: Callable[[float], None] | None,
) -> Hydrographs:
    seconds = span.seconds
    rain = hyetographs(chosen.scenario.rain, city.gages, seconds, chosen.folder)
    # What the file gives by the hour of the day: whole hours, so that the same run a minute later is the same water.
    starts = datetime.fromtimestamp(span.begins_ms / 1000, CITY_ZONE).replace(minute=0, second=0, microsecond=0)
    starts = starts.replace(tzinfo=None)
    key = fingerprint(
        [inp.read_bytes(), rain, network.gages, seconds, struck.blockages, struck.pump_failures, city.ponds, starts]
    )
    kept = folder.hydrographs_of(key)
    if kept is not None:
        say("水力计算结果可沿用 · the water is computed already")
        return kept
    say("水力计算 · computing the water (EPA SWMM)")
    made = run_hydraulics(
        inp,
        folder.water,
        rain,
        network.gages,
        seconds,
        struck.blockages,
        struck.pump_failures,
        on_progress,
        ponds=city.ponds,
        starts=starts,
    )
    folder.keep_hydrographs(key, made)
    return made


def _copy(source: Path, target: Path) -> None:
    if source.resolve() != target.resolve():
        shutil.copyfile(source, target)

"""Routing: which crew is told of an alarm. The one place that decides; a pure function of what is known.

By 养护单位 (who maintains it), else 权属单位 (who owns it), else the nearest area that a sink is for, else a sink that
is for whatever no other is for, else whoever of the roster is on duty there. The first of these that anybody stands
for decides: where all of them have asked not to be told of so little, nobody is told, by their own word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from underfoot.alarms import Severity


class Stage(StrEnum):
    """By what somebody is found, in the order in which it is asked."""

    maintenance = "maintenance"
    owner = "owner"
    area = "area"
    anywhere = "anywhere"
    duty = "duty"


STAGE_LABELS: dict[Stage, str] = {
    Stage.maintenance: "养护单位",
    Stage.owner: "权属单位",
    Stage.area: "区域",
    Stage.anywhere: "未分派的",
    Stage.duty: "值班",
}


@dataclass(frozen=True, slots=True)
class Receiver:
    """A sink that may be told. `said`: who that is, where it is a person."""

    sink_key: int
    name: str
    least: Severity
    said: str = ""


@dataclass(frozen=True, slots=True)
class CrewSink:
    """A crew's sink with what it is for."""

    receiver: Receiver
    maintenance_unit: str | None = None
    owner_unit: str | None = None
    area_code: str | None = None

    @property
    def anywhere(self) -> bool:
        return self.maintenance_unit is None and self.owner_unit is None and self.area_code is None


@dataclass(frozen=True, slots=True)
class Concerned:
    """Whose it is, where, and how bad it has been. `lineage`: the area and those above it, the nearest first."""

    maintenance_unit: str
    owner_unit: str
    lineage: tuple[str, ...]
    worst: Severity


@dataclass(frozen=True, slots=True)
class Asked:
    """A stage that was asked: in whose name, and who stands for it."""

    stage: Stage
    whose: str
    receivers: tuple[Receiver, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """`decided`: the stage that decides; None: nobody stands for any. `told`: of its receivers those who are told."""

    decided: Asked | None
    told: tuple[Receiver, ...]

    @property
    def nobody(self) -> bool:
        return self.decided is None


OnDuty = Callable[[str | None], Sequence[Receiver]]
"""Who is on duty in an area (None: of what has no area), of the first level at which anybody can be told."""


class Routes:
    """All crews' sinks by what they are for."""

    def __init__(self, sinks: Iterable[CrewSink]) -> None:
        self._maintenance: dict[str, list[Receiver]] = {}
        self._owner: dict[str, list[Receiver]] = {}
        self._area: dict[str, list[Receiver]] = {}
        self._anywhere: list[Receiver] = []
        for sink in sinks:
            for whose, known in (
                (sink.maintenance_unit, self._maintenance),
                (sink.owner_unit, self._owner),
                (sink.area_code, self._area),
            ):
                if whose is not None:
                    known.setdefault(whose, []).append(sink.receiver)
            if sink.anywhere:
                self._anywhere.append(sink.receiver)

    @property
    def has_areas(self) -> bool:
        return bool(self._area)

    def asked(self, concerned: Concerned, on_duty: OnDuty) -> Iterator[Asked]:
        """The stages in their order; only what is asked for is looked up."""
        unit, owner = concerned.maintenance_unit, concerned.owner_unit
        yield Asked(Stage.maintenance, unit, _of(self._maintenance, unit))
        yield Asked(Stage.owner, owner, _of(self._owner, owner))
        nearest = self._nearest(concerned.lineage)
        yield Asked(Stage.area, nearest or "", _of(self._area, nearest or ""))
        yield Asked(Stage.anywhere, "", tuple(self._anywhere))
        area = concerned.lineage[0] if concerned.lineage else None
        yield Asked(Stage.duty, area or "", tuple(on_duty(area)))

    def route(self, concerned: Concerned, on_duty: OnDuty) -> Route:
        for asked in self.asked(concerned, on_duty):
            if asked.receivers:
                told = tuple(one for one in asked.receivers if concerned.worst >= one.least)
                return Route(asked, told)
        return Route(None, ())

    def _nearest(self, lineage: Sequence[str]) -> str | None:
        """Of the areas that a sink is for, the nearest one around; by its code where the ledger has a gap."""
        for code in lineage:
            if code in self._area:
                return code
        within = [code for code in self._area if lineage and lineage[0].startswith(code)]
        return max(within, key=len, default=None)


def _of(known: Mapping[str, list[Receiver]], whose: str) -> tuple[Receiver, ...]:
    return tuple(known.get(whose, ())) if whose else ()

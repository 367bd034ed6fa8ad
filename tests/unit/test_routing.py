"""Routing: by 养护 unit, 权属 unit, area, whatever no other is for, and the roster; somebody is always told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from alerts.telling.routing import Concerned, CrewSink, Receiver, Routes, Stage
from underfoot.alarms import Severity


def receiver(key: int, least: Severity = Severity.blue) -> Receiver:
    return Receiver(key, f"sink-{key}", least)


LINEAGE = ("410502001", "410502", "4105")
ALL = [
    CrewSink(receiver(1), maintenance_unit="排水所"),
    CrewSink(receiver(2), owner_unit="市政公司"),
    CrewSink(receiver(3), area_code="410502"),
    CrewSink(receiver(4), area_code="4105"),
    CrewSink(receiver(5)),
]


def told(
    sinks: list[CrewSink],
    unit: str = "排水所",
    owner: str = "市政公司",
    lineage: tuple[str, ...] = LINEAGE,
    worst: Severity = Severity.red,
    on_duty: tuple[Receiver, ...] = (),
) -> tuple[Stage | None, list[int]]:
    route = Routes(sinks).route(Concerned(unit, owner, lineage, worst), lambda area: on_duty)
    return (route.decided.stage if route.decided else None), [one.sink_key for one in route.told]


def test_the_first_that_anybody_stands_for_decides() -> None:
    assert told(ALL) == (Stage.maintenance, [1])
    assert told(ALL, unit="别的所") == (Stage.owner, [2])
    assert told(ALL, unit="", owner="") == (Stage.area, [3]), "the nearest area, not the city"
    assert told(ALL, unit="", owner="", lineage=("410503", "4105")) == (Stage.area, [4])
    assert told(ALL, unit="", owner="", lineage=("320500",)) == (Stage.anywhere, [5])
    assert told(ALL[:1], unit="", owner="", on_duty=(receiver(9),)) == (Stage.duty, [9])
    assert told([], on_duty=()) == (None, [])


def test_an_area_of_the_ledger_with_a_gap_above_is_found_by_its_code() -> None:
    assert told(ALL, unit="", owner="", lineage=("410502009",)) == (Stage.area, [3])


def test_a_unit_that_is_the_name_of_no_sink_and_no_unit_at_all_are_not_the_same() -> None:
    assert told([CrewSink(receiver(1), maintenance_unit="")], unit="") == (None, [])


def test_who_has_asked_not_to_be_told_of_so_little_decides_all_the_same() -> None:
    sinks = [CrewSink(receiver(1, Severity.orange), maintenance_unit="排水所"), CrewSink(receiver(5))]
    assert told(sinks, worst=Severity.yellow) == (Stage.maintenance, [])
    assert told(sinks, worst=Severity.orange) == (Stage.maintenance, [1])


def test_a_sink_may_be_for_several_things() -> None:
    both = CrewSink(receiver(1), maintenance_unit="市政公司", owner_unit="市政公司", area_code="410502")
    assert told([both], unit="市政公司") == (Stage.maintenance, [1])
    assert told([both], unit="别的所") == (Stage.owner, [1])
    assert told([both], unit="别的所", owner="") == (Stage.area, [1])


_units = st.sampled_from(["", "甲所", "乙所", "丙所"])
_areas = st.sampled_from(["4105", "410502", "410503", "410502001", "410503002"])
_severities = st.sampled_from(list(Severity))
_sinks = st.lists(
    st.builds(
        CrewSink,
        st.builds(receiver, st.integers(1, 50), _severities),
        maintenance_unit=st.none() | _units.filter(bool),
        owner_unit=st.none() | _units.filter(bool),
        area_code=st.none() | _areas,
    ),
    max_size=12,
)


@given(_sinks, _units, _units, _areas, _severities, st.lists(st.builds(receiver, st.integers(100, 120), _severities)))
def test_somebody_is_told_or_asked_not_to_be_or_there_is_nobody_at_all(
    sinks: list[CrewSink], unit: str, owner: str, area: str, worst: Severity, on_duty: list[Receiver]
) -> None:
    """Held against the definition, said the slow way: of five lists the first that is not empty."""
    lineage = tuple(code for code in ("410502001", "410503002", "410502", "410503", "4105") if area.startswith(code))
    lineage = lineage if lineage[0] == area else (area, *lineage)
    route = Routes(sinks).route(Concerned(unit, owner, lineage, worst), lambda asked: tuple(on_duty))
    around = [code for code in lineage if any(sink.area_code == code for sink in sinks)]
    stages = [
        [sink.receiver for sink in sinks if unit and sink.maintenance_unit == unit],
        [sink.receiver for sink in sinks if owner and sink.owner_unit == owner],
        [sink.receiver for sink in sinks if around and sink.area_code == around[0]],
        [sink.receiver for sink in sinks if sink.anywhere],
        on_duty,
    ]
    first = next((stage for stage in stages if stage), None)
    if first is None:
        assert route.nobody
    else:
        assert route.decided is not None
        assert list(route.decided.receivers) == first
        assert list(route.told) == [one for one in first if one.least <= worst]

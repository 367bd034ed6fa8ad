"""What a network of pipes shows that no single row does; and what a row of a ledger of pipes may say."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.networks import STATION, node, pipe, row_of
from underfoot.ledger.columns import LedgerError, is_header, read_header
from underfoot.ledger.pipe_checks import Finding, check, circles, network
from underfoot.ledger.pipe_row import PIPES, PipeRow, parse_pipe
from underfoot.ledger.pipes import Pipe

SOUND = row_of(1, 2, 3, 9)


def found(pipes: list[Pipe], **nodes: dict[str, Any]) -> dict[str, Finding]:
    """By check, what is found; node 9 is a pump station, lengths are those of the coordinates."""
    keys = {each.from_asset for each in pipes} | {each.to_asset for each in pipes}
    given = {f"n{key}": {} for key in keys} | {"n9": {"kind": STATION, "lon": 114.002}} | nodes
    findings = check(pipes, [node(key, **given[f"n{key}"]) for key in sorted(keys)])
    assert len({finding.check for finding in findings}) == len(findings), findings
    return {finding.check: finding for finding in findings}


def test_nothing_is_found_in_a_sound_network() -> None:
    assert found(SOUND) == {}
    assert check([], []) == []


def test_a_circle_is_an_error_that_lists_its_nodes() -> None:
    back = pipe(31, 3, 1, up=99.5, down=99.4, length_m=90)
    circle = found([*SOUND, back])["cycle"]
    assert circle.severity == "error"
    assert set(circle.pipes) == {"W12", "W23", "W31"}
    assert set(circle.assets) == {"J1", "J2", "J3"}
    assert "J1 → J2 → J3 → J1" in circle.what
    assert check([*SOUND, back], [])[0].check == "cycle"  # errors stand first


@pytest.mark.parametrize(("down", "said"), [(100.0, "平坡"), (100.12, "倒坡 0.120 m")])
def test_a_pipe_that_does_not_fall(down: float, said: str) -> None:
    finding = found([pipe(12, 1, 2, down=down), pipe(29, 2, 9, up=down, length_m=90)])["no_fall"]
    assert (finding.severity, finding.pipes, finding.assets) == ("warning", ("W12",), ("J1", "J2"))
    assert said in finding.what


@pytest.mark.parametrize(
    ("next_up", "finding"),
    [(99.75, None), (99.79, None), (99.85, "step_up"), (98.0, None), (97.7, "drop")],
)
def test_a_gap_between_one_pipe_and_the_next(next_up: float, finding: str | None) -> None:
    """The pipe before it ends at 99.75."""
    gaps = found([pipe(12, 1, 2), pipe(29, 2, 9, up=next_up, length_m=90)])
    assert set(gaps) == ({finding} if finding else set())
    if finding:
        assert gaps[finding].pipes == ("W12", "W29")
        assert gaps[finding].assets == ("J2",)


def test_of_several_pipes_that_leave_the_lowest_takes_the_water() -> None:
    leave_low = [pipe(12, 1, 2), pipe(29, 2, 9, up=99.75), pipe(24, 2, 4, up=100.5)]
    assert "step_up" not in found(leave_low, n4={"kind": STATION, "lon": 114.0015})


def test_foul_and_storm_that_meet_are_told() -> None:
    mixed = found([*SOUND, pipe(42, 4, 2, kind="storm", length_m=90)])["mixed"]
    assert (mixed.assets, set(mixed.pipes)) == (("J2",), {"W12", "W23", "W42"})


def test_a_wide_pipe_into_a_narrow_one_is_told_unless_the_water_divides() -> None:
    wide = [pipe(12, 1, 2, diameter_mm=600), pipe(29, 2, 9, up=99.75, length_m=90)]
    assert found(wide)["narrowing"].pipes == ("W29", "W12")
    assert "narrowing" not in found([*wide, pipe(93, 2, 9, up=99.75, length_m=90)])


def test_two_pipes_with_the_same_ends() -> None:
    assert found([*SOUND, pipe(99, 1, 2)])["twin"].pipes == ("W12", "W99")
    beside = [*SOUND, pipe(99, 1, 2, kind="storm")]
    assert "twin" not in {finding.check for finding in check(beside, [])}


def test_a_part_that_ends_at_manholes_has_no_outfall() -> None:
    lost = found([*SOUND, *row_of(4, 5, 6)])["no_outfall"]
    assert (set(lost.pipes), lost.assets) == ({"W45", "W56"}, ("J6",))
    assert "no_outfall" not in found([*SOUND, *row_of(4, 5, 6)], n6={"tags": ("outfall",)})


def test_a_pipe_that_no_other_meets_is_detached() -> None:
    alone = found([*SOUND, pipe(45, 4, 5)])["detached"]
    assert (alone.pipes, alone.assets) == (("W45",), ("J4", "J5"))
    assert "detached" not in found([*SOUND, pipe(45, 4, 5)], n5={"kind": STATION})


def test_a_length_that_does_not_fit_the_coordinates() -> None:
    """The nodes of these tests lie 45 m apart."""
    assert "length" not in found([pipe(19, 1, 9, length_m=120)])
    short, long = found([pipe(19, 1, 9, length_m=20)]), found([pipe(19, 1, 9, length_m=450)])
    assert "相距 135 m" in short["length"].what
    assert "length" in long


def test_an_asset_without_coordinates_and_a_rim_below_the_pipe() -> None:
    assert found(SOUND, n2={"lon": None, "lat": None})["no_place"].pipes == ("W12", "W23")
    assert "rim" not in found(SOUND, n2={"rim_m": 100.1})
    low = found(SOUND, n2={"rim_m": 99.9})["rim"]  # the crown of the pipe that comes in is at 100.05
    assert low.assets == ("J2",)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda two: two[0] != two[1]), max_size=25))
def test_there_is_a_circle_where_networkx_has_one(ends: list[tuple[int, int]]) -> None:
    graph = network(ends)
    parts = list(circles(graph))
    assert bool(parts) == (not nx.is_directed_acyclic_graph(graph))
    for part, circle in parts:
        assert set(circle) <= part
        assert all(graph.has_edge(*edge) for edge in zip(circle, [*circle[1:], circle[0]], strict=True))
    within = {edge for edge in ends for part, _ in parts if set(edge) <= part}
    assert nx.is_directed_acyclic_graph(network(set(ends) - within))


# rows ---------------------------------------------------------------------------------------------------------------

GOOD = {
    "pipe_id": "W12-W13",
    "from_asset": "4105020102000012",
    "to_asset": "4105020102000013",
    "kind": "污水",
    "diameter_mm": "300",
    "length_m": "48.5",
    "invert_up_m": "71.32",
    "invert_down_m": "71.08",
}


def understood(**changes: str) -> PipeRow:
    row, faults = parse_pipe(GOOD | changes, {})
    assert faults == []
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("diameter_mm", "DN300", 300),
        ("diameter_mm", "d 600", 600),
        ("diameter_mm", "Φ1000mm", 1000),
        ("diameter_mm", "ＤＮ８００", 800),
        ("length_m", "48.5m", 48.5),
        ("length_m", "48.5 米", 48.5),
        ("invert_down_m", "-1.25", -1.25),
        ("kind", "雨水", "storm"),
        ("kind", "storm", "storm"),
        ("roughness", "0.010", 0.01),
        ("roughness", "", None),
        ("from_asset", "4105020102000012.0", "4105020102000012"),
    ],
)
def test_a_cell_as_people_write_it(column: str, cell: str, value: object) -> None:
    changes = {"invert_up_m": "-1"} if column == "invert_down_m" else {}
    assert getattr(understood(**{column: cell}, **changes), column) == value


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("diameter_mm", "0"),
        ("diameter_mm", "99"),
        ("diameter_mm", "5001"),
        ("diameter_mm", "-300"),
        ("diameter_mm", "2000×1500"),
        ("diameter_mm", "nan"),
        ("diameter_mm", "DN"),
        ("length_m", "0"),
        ("length_m", "-5"),
        ("length_m", "inf"),
        ("length_m", "50km"),
        ("invert_up_m", "9999"),
        ("kind", ""),
        ("kind", "燃气"),
        ("pipe_id", "管1"),
        ("from_asset", ""),
        ("from_asset", GOOD["to_asset"]),
        ("roughness", "0.5"),
    ],
)
def test_a_cell_that_no_pipe_has_is_refused_by_name(column: str, cell: str) -> None:
    row, faults = parse_pipe(GOOD | {column: cell}, {})
    assert row is None
    [fault] = faults
    assert fault.column == ("to_asset" if cell == GOOD["to_asset"] else column)
    assert " · " in fault.allowed


def test_headers_in_both_languages_mean_the_same() -> None:
    chinese = [
        "管段编号",
        "起点部件",
        "终点部件",
        "管网类型",
        "管径（mm）",
        "长度（米）",
        "起点管底标高",
        "终点管底标高",
    ]
    assert read_header(list(PIPES.needed), PIPES).columns == read_header(chinese, PIPES).columns == PIPES.needed
    assert is_header(chinese, PIPES)
    assert not is_header(["部件编码", "管径", "长度"], PIPES)
    with pytest.raises(LedgerError, match="the unit must be mm"):
        read_header(["管段编号", "管径(cm)"], PIPES)
    with pytest.raises(LedgerError, match="the unit must be m;"):
        read_header(["管段编号", "长度(公里)"], PIPES)

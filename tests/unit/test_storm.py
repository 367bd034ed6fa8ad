"""Storm's pure parts: when a district is in flood, what belongs together, what a digest says, what a storm was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.messages.notice import description, message
from alerts.messages.wording import LONGEST
from alerts.rules import RuleError, StormRule, parse_rule, shipped_pack
from alerts.rules.override import overridden, parse_override
from alerts.storm.catchments import Catchment, Located, Network, catchment_of
from alerts.storm.flood import Flood, judge
from alerts.storm.message import digest, ending
from alerts.storm.paper import duration, paper
from alerts.storm.report import compiled
from alerts.storm.summary import About, Member, Reading, Summary, changed, summarise, worst_severity
from underfoot.alarms import Severity

PACK = {rule.rule_id: rule for rule in shipped_pack()}
AT = datetime(2026, 7, 1, 13, 40, tzinfo=UTC)


def shipped() -> StormRule:
    rule = PACK["storm.incident"]
    assert isinstance(rule, StormRule)
    return rule


RULE = shipped()
ABOUT = About(3, "410506", "龙安区", "龙安区")


# the rule -----------------------------------------------------------------------------------------------------------


def test_shipped_numbers_are_those_of_isa_18_2_and_have_a_source() -> None:
    assert (RULE.window_s, RULE.enter_above, RULE.leave_below, RULE.update_every_s) == (600, 10, 5, 300)
    assert "ISA-18.2" in RULE.source
    assert RULE.case is not None
    assert RULE.case.filing == "filing.storm_water", "an incident is a case once it has water on the road, not before"
    assert RULE.crew is not None


def test_every_rule_that_joins_ships() -> None:
    assert [rule for rule in RULE.group if rule not in PACK] == []


@pytest.mark.parametrize("word", ["battery", "offline", "signal", "late_hazard", "out", "stuck", "ch4", "door"])
def test_what_no_storm_brings_does_not_join(word: str) -> None:
    assert [rule for rule in RULE.group if rule.endswith(f".{word}")] == []


def test_causes_are_counted_but_never_kept_back() -> None:
    alone = {rule for rule, group in RULE.group.items() if group.alone}
    assert {"cover.open", "pump.fault", "drainage.blockage", "lamp.leakage"} <= alone
    assert not alone & {"road.ponding", "road.underpass", "cover.overflow", "pipe.surcharge", "rain.hour"}


@pytest.mark.parametrize(
    ("change", "field", "why"),
    [
        ({"leave_below": 11}, "leave_below", "over below where it begins"),
        ({"enter_above": 0}, "enter_above", "greater than or equal to 1"),
        ({"least_members": 1}, "least_members", "greater than or equal to 2"),
        ({"window_s": -1}, "window_s", "greater than 0"),
        ({"groups": []}, "groups", "at least 1 item"),
        ({"groups": [{"rule": "a.b", "short": "甲"}, {"rule": "a.b", "short": "乙"}]}, "groups", "twice: a.b"),
        ({"groups": [{"rule": "storm.incident", "short": "甲"}]}, "groups", "no member of incidents"),
        ({"groups": [{"rule": "a.b", "short": "长长长长长长长"}]}, "groups.0.short", "at most 6"),
        ({"case": {"type": "event", "code": "asset"}}, "case", "no single asset"),
        ({"unknown": 1}, "unknown", "not permitted"),
    ],
)
def test_a_wrong_rule_is_told_by_field(change: dict[str, Any], field: str, why: str) -> None:
    with pytest.raises(RuleError, match=why) as caught:
        parse_rule(RULE.model_dump(mode="json") | change)
    assert [problem.field.removeprefix("storm.") for problem in caught.value.problems] == [field]


def test_a_district_may_have_numbers_of_its_own() -> None:
    override = parse_override(
        {"rule_id": "storm.incident", "scope": "area:410502", "source": "两名操作员", "enter_above": 20}
    )
    within = overridden(RULE, override)
    assert isinstance(within, StormRule)
    assert (within.enter_above, within.leave_below) == (20, 5)


# floods -------------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 40), max_size=60))
def test_a_flood_begins_above_and_ends_below(counts: list[int]) -> None:
    """Against the obvious: walk back to the last count that decides."""
    flood: Flood | None = None
    for number, raised in enumerate(counts):
        now = AT + timedelta(minutes=number)
        flood = judge(flood, raised, now, enter_above=10, leave_below=5)
        decisive = next((count for count in reversed(counts[: number + 1]) if count > 10 or count < 5), 0)
        assert (flood is not None) == (decisive > 10)
        if flood is not None:
            began = round((flood.began_at - AT).total_seconds() / 60)
            assert flood.peak == max(counts[began : number + 1])
            assert counts[began] > 10


# catchments ---------------------------------------------------------------------------------------------------------

WEST, EAST = Catchment("outfall:9", "西排口汇水区", network=True), Catchment("outfall:8", "东排口汇水区", network=True)
NETWORK = Network({1: WEST, 2: EAST, 9: WEST}, [(1, 114.350, 36.100), (2, 114.360, 36.100), (77, 114.0, 36.0)])
AREAS = {"410502": "文峰区", "410502001": "宝莲寺街道"}


@pytest.mark.parametrize(
    ("where", "key"),
    [
        (Located(9, "410502001", None, None), "outfall:9"),
        (Located(2, "410502001", 114.350, 36.100), "outfall:8"),  # its own node, whatever is nearer
        (Located(50, "410502001", 114.3515, 36.1005), "outfall:9"),  # some 146 m from node 1
        (Located(50, "410502001", 114.3555, 36.103), "area:410502001"),  # no node within 300 m
        (Located(50, "410502001003", None, None), "area:410502001"),  # its street
        (Located(None, "410502", None, None), "area:410502"),
        (Located(None, "410599001", None, None), "area:410599001"),  # a street that the ledger does not name
    ],
)
def test_what_belongs_together(where: Located, key: str) -> None:
    assert catchment_of(where, NETWORK, AREAS, 300).key == key


def test_a_city_without_pipes_goes_by_streets() -> None:
    found = catchment_of(Located(1, "410502001", 114.35, 36.1), Network({}), AREAS, 300)
    assert found == Catchment("area:410502001", "宝莲寺街道", network=False)


# the summary --------------------------------------------------------------------------------------------------------


def member(key: int = 1, rule: str = "road.ponding", severity: Severity = Severity.orange, **changes: Any) -> Member:
    facts: dict[str, Any] = {
        "alarm_key": key,
        "episode": 1,
        "rule_id": rule,
        "title": "道路积水",
        "severity": severity.value,
        "acknowledged": False,
        "raised_at": AT - timedelta(minutes=key),
        "family": rule.partition(".")[0],
        "device_key": key,
        "proof": {"field": "depth_cm", "label": "积水深度", "value": 30.0, "unit": "cm", "limit": 27.0},
        "address": "东风路",
        "name": "",
        "asset_code": "4105062100000001",
        "device_id": f"road-{key}",
        "area_name": "龙安区",
        "lon": 114.3 + key / 1000,
        "lat": 36.1,
    }
    return Member(**facts | changes)


def summary(*members: Member, readings: dict[int, Reading] | None = None, about: About = ABOUT) -> Summary:
    return summarise(about, members, readings or {}, RULE, total=len(members), timeline=[(AT, len(members))], at=AT)


def test_the_digest_of_the_brief_example() -> None:
    members = [
        *(member(n, "road.underpass", Severity.red, acknowledged=True) for n in (1, 2)),
        member(3, "cover.open", Severity.red, acknowledged=True),
        member(4, "pump.fault"),
        *(member(n, acknowledged=n > 7) for n in range(5, 15)),
    ]
    said = digest(summary(*members, readings={1: Reading(42.0, AT, rising=True)}))
    assert (
        said
        == "【暴雨汇总21:40】龙安区 红3橙11，未接单4：下穿封2、井盖开1、路面积水10、泵停1。最深东风路42cm仍涨。查看▸"
    )
    assert len(said) <= LONGEST


def test_worst_is_the_most_severe_then_the_deepest_then_the_longest() -> None:
    readings = {1: Reading(20.0), 2: Reading(35.0), 5: Reading(60.0)}
    found = summary(
        member(1), member(2), member(3, "pump.forebay_high"), member(5, severity=Severity.yellow), readings=readings
    )
    assert found["worst"] is not None
    assert found["worst"]["alarm_key"] == 2
    assert found["deepest"] is not None
    assert found["deepest"]["alarm_key"] == 5, "the deepest is so, whatever its severity"
    dry = summary(member(3, "pump.forebay_high"), member(4, "pump.forebay_high"))
    assert dry["worst"] is not None
    assert dry["worst"]["alarm_key"] == 4
    assert dry["deepest"] is None


def test_an_empty_incident_has_no_worst_and_no_frame() -> None:
    found = summary()
    assert (found["worst"], found["deepest"], found["extent"], worst_severity(found)) == (None, None, None, 0)
    assert digest(found) == "【暴雨汇总21:40】龙安区 暂无未恢复。查看▸"


def test_the_frame_holds_every_member_with_a_place() -> None:
    found = summary(member(1), member(9), member(5, lon=None, lat=None))
    assert found["extent"] == pytest.approx([114.301, 36.1, 114.309, 36.1])


@pytest.mark.parametrize(
    ("now", "tells"),
    [
        (summary(member(1, acknowledged=True), member(2), readings={2: Reading(30.0)}), False),
        (summary(member(1), member(2), member(3)), True),
        (summary(member(1), member(2, severity=Severity.yellow)), True),
        (summary(member(1), member(2), readings={2: Reading(35.0)}), False),
        (summary(member(1), member(2), readings={2: Reading(36.2)}), True),
        (summary(member(1), member(2), readings={1: Reading(30.0), 2: Reading(29.0)}), True),
    ],
    ids=["acknowledged", "more", "milder", "a little deeper", "a fifth deeper", "another is the worst"],
)
def test_what_is_told_again(now: Summary, tells: bool) -> None:
    told = summary(member(1), member(2), readings={2: Reading(30.0)})
    assert changed(told, now, worst_change=0.2) is tells


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)


@given(
    area=texts,
    catchment=texts,
    address=texts,
    name=texts,
    counts=st.lists(st.tuples(st.sampled_from(sorted(RULE.group)), st.sampled_from(Severity)), max_size=30),
    value=st.floats(0, 1000),
    rising=st.sampled_from([True, False, None]),
    total=st.integers(0, 100_000),
)
def test_no_message_of_a_storm_is_too_long(
    area: str,
    catchment: str,
    address: str,
    name: str,
    counts: list[tuple[str, Severity]],
    value: float,
    rising: bool | None,
    total: int,
) -> None:
    members = [
        member(n, rule, severity, address=address, name=name) for n, (rule, severity) in enumerate(counts, start=1)
    ]
    found = summary(*members, readings={1: Reading(value, AT, rising)}, about=About(1, "410506", area, catchment))
    found["total"] = total
    for text in (digest(found), ending(found)):
        assert len(text) <= LONGEST, text
        assert text.endswith("查看▸")
        assert "\n" not in text
    for severity in (Severity.red, Severity.orange):
        count = sum(one is severity for _, one in counts)
        if count:
            assert f"{severity.label}{count}" in digest(found)


def test_channels_get_the_digest_by_way_of_every_message() -> None:
    found = summary(member(1), member(2))
    snapshot: Any = {
        "notice": "raise", "severity": 3, "title": "暴雨险情", "reason": "incident_began", "rule_id": "storm.incident",
        "proof": {"summary": found}, "crew": None, "case": None, "device": None, "asset": None, "area": None,
        "raised_at": AT.isoformat(), "raised_received_at": AT.isoformat(), "cleared_at": None,
    }  # fmt: skip
    assert message(snapshot, "L").text == digest(found)
    assert message(snapshot | {"notice": "clear"}, "L").text == ending(found)
    assert description(snapshot) == "暴雨险情：龙安区，橙2，未确认2，路面积水2。最重东风路30cm。"


# the report ---------------------------------------------------------------------------------------------------------


def reported(key: int, severity: int = 3, *, acknowledged_s: float | None = None, **changes: Any) -> dict[str, Any]:
    raised_at = AT + timedelta(minutes=key)
    facts: dict[str, Any] = {
        "alarm_key": key, "episode": 1, "episode_key": key, "rule_id": "road.ponding", "title": "道路积水",
        "worst_severity": severity, "family": "road", "device_key": key, "device_id": "", "address": "东风路",
        "name": "", "asset_code": "", "unit": "排水所", "area_name": "龙安区", "lon": None, "lat": None,
        "joined_at": raised_at, "alone": severity == 4,
        "raised_at": raised_at, "cleared_at": raised_at + timedelta(hours=1),
        "acknowledged_at": raised_at + timedelta(seconds=acknowledged_s) if acknowledged_s is not None else None,
        "delivered_at": None, "proof": {"label": "积水深度", "unit": "cm"}, "worst": 30.0,
    }  # fmt: skip
    return facts | changes


INCIDENT = {
    "incident_key": 3, "kind": "storm", "title": "龙安区暴雨险情", "area_code": "410506", "name": "龙安区",
    "catchment_name": "龙安区", "began_at": AT, "ended_at": AT + timedelta(hours=3),
}  # fmt: skip


def test_a_report_says_how_deep_how_long_and_how_soon() -> None:
    rows = [
        reported(1, 4, acknowledged_s=120),
        reported(2, acknowledged_s=600, cleared_at=None),
        reported(3),
        reported(4, title="水泵故障", family="pump", proof={"label": "故障"}, worst=1.0),
    ]
    report = compiled(INCIDENT, rows, {(2, 1): 47.5}, 12)
    assert (report.total, report.still_open) == (4, 1)
    assert report.by_severity == {"red": 1, "orange": 3, "yellow": 0, "blue": 0}
    assert [(kind.name, kind.count) for kind in report.by_title] == [("道路积水", 3), ("水泵故障", 1)]
    assert report.deepest is not None
    assert report.deepest.peak is not None
    assert (report.deepest.alarm_key, report.deepest.peak.value) == (2, 47.5)
    assert (report.acknowledged.known, report.acknowledged.of, report.acknowledged.median_s) == (2, 4, 360.0)
    assert report.acknowledged.longest_s == 600.0
    assert (report.delivered.known, report.delivered.median_s) == (0, None)
    assert report.cleared.known == 3
    assert report.members[3].peak is None, "a state has no worst value"
    assert (report.first_raised_at, report.last_raised_at) == (AT + timedelta(minutes=1), AT + timedelta(minutes=4))


def test_on_paper_it_is_chinese_and_whole() -> None:
    rows = [reported(1, 4, acknowledged_s=125, address="东风|路\n口"), reported(2, cleared_at=None)]
    text = paper(compiled(INCIDENT, rows, {}, 12), AT + timedelta(hours=4))
    assert text.startswith("# 龙安区暴雨险情总结报告\n")
    assert "- 起止时间：2026-07-01 21:40 至 2026-07-02 00:40" in text
    assert "- 告警总数：2条，未恢复1条" in text
    assert "- 最大积水：东风\\|路 口，30cm" in text
    assert "| 确认 | 1/2 | 2分5秒 | 2分5秒 |" in text
    assert (
        "| 1 | 红 | 道路积水 | 东风\\|路 口 | 排水所 | 2026-07-01 21:41 | 2026-07-01 22:41 | 30cm | 2分5秒 | — |"
        in text
    )
    assert "| 2 | 橙 | 道路积水 | 东风路 | 排水所 | 2026-07-01 21:42 | 未恢复 | 30cm | — | — |" in text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "—"), (0.4, "0秒"), (59.6, "1分"), (200, "3分20秒"), (3600, "1小时"), (5430, "1小时30分")],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said

"""Rules as data: what is wrong with one is said by rule, field and value; the shipped pack has the domain's numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest

from alerts.rules import (
    CodesRule,
    FilingRule,
    JudgedRule,
    LateHazardRule,
    LevelRule,
    MismatchRule,
    NoDataRule,
    RateRule,
    Rule,
    RuleError,
    parse_rule,
    shipped_pack,
)
from alerts.rules.parts import CaseCode
from underfoot.alarms import Severity
from underfoot.families import FAMILIES

GOOD: dict[str, Any] = {
    "rule_id": "cover.tilt",
    "kind": "level",
    "family": "cover",
    "title": "井盖倾斜",
    "source": "a city's own",
    "field": "tilt_deg",
    "levels": [
        {"severity": "yellow", "limit": 10, "dead_band": 2},
        {"severity": "red", "limit": 30, "dead_band": 5},
    ],
}
STATE: dict[str, Any] = GOOD | {
    "rule_id": "cover.open",
    "field": "open",
    "equals": True,
    "levels": [{"severity": "red"}],
}
SILENT: dict[str, Any] = {
    "rule_id": "cover.offline",
    "kind": "no_data",
    "family": "cover",
    "title": "离线",
    "source": "a city's own",
    "intervals": 1.5,
    "severity": "blue",
}


def levels(*numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {"levels": [{"severity": "yellow", "limit": 10} | dict(one) for one in numbers]}


WRONG: list[tuple[dict[str, Any], str, str]] = [
    (GOOD | {"rule_id": "Tilt"}, "rule_id", "Tilt"),
    (GOOD | {"kind": "slope"}, "kind", "slope"),
    (GOOD | {"family": "manhole"}, "family", "manhole"),
    (GOOD | {"field": "tilt"}, "family cover has no field", "tilt"),
    (GOOD | {"looks": "sideways"}, "looks", "sideways"),
    (GOOD | {"proof": "faith"}, "proof", "faith"),
    (GOOD | {"sum_over_s": 0}, "sum_over_s", "0"),
    (GOOD | {"sum_over_s": math.inf}, "sum_over_s", "inf"),
    (GOOD | {"off_delay_s": -1}, "off_delay_s", "-1"),
    (GOOD | {"off_delay_s": math.nan}, "off_delay_s", "nan"),
    (GOOD | {"off_samples": 0}, "off_samples", "0"),
    (GOOD | {"off_samples": 1.5}, "off_samples", "1.5"),
    (GOOD | {"levels": []}, "levels", "[]"),
    (GOOD | {"levels": GOOD["levels"] * 3}, "levels", "at most 4"),
    (GOOD | {"severity": "red"}, "severity", "red"),
    (GOOD | {"levels": [{"severity": "purple", "limit": 1}]}, "levels.0.severity", "purple"),
    (GOOD | {"levels": [{"severity": "red", "limit": "high"}]}, "levels.0.limit", "high"),
    (GOOD | {"levels": [{"severity": "red", "limit": math.nan}]}, "levels.0.limit", "nan"),
    (GOOD | levels({}, {"severity": "red", "limit": math.inf}), "levels.1.limit", "inf"),
    (GOOD | levels({"dead_band": -1}), "levels.0.dead_band", "-1"),
    (GOOD | levels({"on_delay_s": -3}), "levels.0.on_delay_s", "-3"),
    (GOOD | levels({"samples": 0}), "levels.0.samples", "0"),
    (GOOD | levels({"hysteresis": 2}), "levels.0.hysteresis", "2"),
    (GOOD | levels({"severity": "red"}, {"limit": 30}), "severity", "['red', 'yellow']"),
    (GOOD | levels({}, {"limit": 30}), "severity", "['yellow', 'yellow']"),
    (GOOD | levels({}, {"severity": "red", "limit": 5}), "limits", "[10.0, 5.0]"),
    (GOOD | levels({}, {"severity": "red"}), "limits", "[10.0, 10.0]"),
    (GOOD | {"looks": "below"}, "limits", "[10.0, 30.0]"),
    (GOOD | levels({}, {"severity": "red", "limit": 15, "dead_band": 10}), "dead bands", "[0.0, 10.0]"),
    (GOOD | {"when": {"opened": True}}, "family cover has no field", "opened"),
    (GOOD | {"when": {"open": 5}}, "when: open", "5"),
    (GOOD | {"unless": {"open": "ajar"}}, "unless.open", "ajar"),
    (GOOD | {"unless": {"tilt_deg": 90}}, "unless: tilt_deg", "90"),
    (GOOD | {"crew": {"act": "先围挡", "make_safe_min": 0}}, "crew.make_safe_min", "0"),
    (GOOD | {"case": {"type": "event", "code": "406"}}, "case.code", "406"),
    (GOOD | {"case": {"type": "thing", "code": "0406"}}, "case.type", "thing"),
    (STATE | {"equals": "open"}, "equals", "open"),
    (STATE | {"equals": 2}, "equals: open", "2"),
    (STATE | {"field": "tilt_deg", "equals": 90}, "equals: tilt_deg", "90"),
    (STATE | {"looks": "below"}, "equals", "below"),
    (STATE | levels({"limit": 5}), "limit", "5.0"),
    (STATE | levels({"limit": 1, "dead_band": 1}), "dead band", "1.0"),
    (STATE | {"against_baseline": True}, "baseline", "True"),
    (GOOD | {"family": "road", "field": "depth_cm", "when": {"place": 2}}, "when: place", "2"),
    (GOOD | {"family": "road", "field": "depth_cm", "when": {"place": True}}, "when: place", "True"),
    (SILENT | {"intervals": 0.5}, "intervals", "0.5"),
    (SILENT | {"intervals": math.inf}, "intervals", "inf"),
    (SILENT | {"grace_s": -1}, "grace_s", "-1"),
    (SILENT | {"levels": []}, "levels", "[]"),
    ({name: value for name, value in SILENT.items() if name != "severity"}, "severity", "Field required"),
]


@pytest.mark.parametrize(("body", "field", "value"), WRONG, ids=lambda part: part if isinstance(part, str) else "")
def test_wrong_rule_names_rule_field_and_value(body: dict[str, Any], field: str, value: str) -> None:
    with pytest.raises(RuleError) as raised:
        parse_rule(body)
    said = str(raised.value)
    assert said.startswith(f"{body['rule_id']}: ")
    assert field in said
    assert value in said


@pytest.mark.parametrize("body", [None, [], "cover.tilt", 7, {}, {"kind": "level"}])
def test_what_is_no_rule_at_all(body: Any) -> None:
    with pytest.raises(RuleError):
        parse_rule(body)


def test_every_fault_of_a_rule_is_told_at_once() -> None:
    with pytest.raises(RuleError) as raised:
        parse_rule(GOOD | {"looks": "sideways", "off_samples": 0, "proof": "faith"})
    assert len(str(raised.value).splitlines()) == 3


@pytest.mark.parametrize("rule", shipped_pack(), ids=lambda rule: rule.rule_id)
def test_shipped_rule_round_trips_as_data(rule: Rule) -> None:
    body = rule.model_dump(mode="json")
    assert parse_rule(body) == rule
    assert parse_rule(body).model_dump(mode="json") == body


@pytest.fixture(scope="module")
def pack() -> dict[str, Rule]:
    return {rule.rule_id: rule for rule in shipped_pack()}


def limits(rule: Rule) -> dict[str, float]:
    assert isinstance(rule, JudgedRule)
    return {level.severity: level.limit for level in rule.levels}


# What domain.md's list of thresholds gives, by rule.
NUMBERS: dict[str, dict[str, float]] = {
    "cover.tilt": {"yellow": 10, "orange": 15, "red": 30},
    "cover.h2s_sustained": {"orange": 20},
    "cover.overflow_forecast": {"yellow": 20, "orange": 10},
    "road.rise": {"yellow": 2, "orange": 5},
    "lamp.out": {"yellow": 20},
    "lamp.day_burning": {"blue": 20},
    "cover.overflow": {"blue": 1.0, "yellow": 0.5, "orange": 0.3, "red": 0.0},
    "cover.ch4_entry": {"blue": 10},
    "cover.ch4": {"orange": 25, "red": 50},
    "cover.h2s": {"blue": 10, "yellow": 20},
    "cover.co": {"blue": 20, "yellow": 30},
    "cover.o2_low": {"blue": 19.5},
    "cover.o2_high": {"yellow": 23.5},
    "cover.battery": {"blue": 20, "yellow": 10},
    "cover.battery_voltage": {"blue": 3.3, "yellow": 3.1},
    "cover.signal": {"blue": -110, "yellow": -120},
    "road.ponding": {"blue": 5, "yellow": 15, "orange": 27, "red": 40},
    "road.underpass": {"blue": 5, "yellow": 10, "orange": 15, "red": 25},
    "pipe.foul_full": {"yellow": 0.8, "orange": 1.0},
    "rain.hour": {"blue": 20, "yellow": 30, "orange": 50},
    "rain.three_hours": {"orange": 50, "red": 100},
    "rain.six_hours": {"yellow": 50},
    "rain.twelve_hours": {"blue": 50},
    "lamp.leakage": {"orange": 30, "red": 100},
    "lamp.touch_voltage": {"yellow": 12, "orange": 24, "red": 36},
    "lamp.tilt": {"yellow": 3, "orange": 5, "red": 10},
    "lamp.overvoltage": {"blue": 253},
    "lamp.undervoltage": {"blue": 198},
}


@pytest.mark.parametrize("rule_id", NUMBERS)
def test_shipped_limits_are_the_domains(pack: dict[str, Rule], rule_id: str) -> None:
    assert limits(pack[rule_id]) == NUMBERS[rule_id]


def level_rule(pack: dict[str, Rule], rule_id: str) -> LevelRule:
    rule = pack[rule_id]
    assert isinstance(rule, LevelRule)
    return rule


@pytest.mark.parametrize(
    ("rule_id", "seconds"),
    [("rain.hour", 3600), ("rain.three_hours", 10800), ("rain.six_hours", 21600), ("rain.twelve_hours", 43200)],
)
def test_rain_is_summed_over_its_hours(pack: dict[str, Rule], rule_id: str, seconds: float) -> None:
    assert level_rule(pack, rule_id).sum_over_s == seconds


def test_shipped_rules_delays_and_guards(pack: dict[str, Rule]) -> None:
    tilt = level_rule(pack, "cover.tilt")
    assert tilt.against_baseline
    assert {level.severity: level.on_delay_s for level in tilt.levels} == {"yellow": 3, "orange": 3, "red": 0}
    assert tilt.worst_from == 90, "over 90° is open whatever the baseline"
    for rule_id, place in (("road.ponding", "unless"), ("road.underpass", "when")):
        rule = level_rule(pack, rule_id)
        assert getattr(rule, place) == {"place": 1}
        assert rule.off_delay_s == 600, "clear for 10 min"
    assert level_rule(pack, "pipe.surcharge").when == {"network": 1}
    assert level_rule(pack, "pipe.foul_full").unless == {"network": 1}
    assert min(limits(pack["pipe.surcharge"]).values()) > 1.0, "storm sewers run full by design"
    for rule_id, on in (("lamp.out", True), ("lamp.day_burning", False)):
        mismatch = pack[rule_id]
        assert isinstance(mismatch, MismatchRule)
        assert mismatch.commanded == {"on": on}
        assert [level.samples for level in mismatch.levels] == [3]
    rise = pack["road.rise"]
    assert isinstance(rise, RateRule)
    assert rise.per_s == 300, "2 cm and 5 cm in 5 min"
    assert level_rule(pack, "pump.forebay_idle").when == {"running": False}


def test_what_sends_once_and_sleeps_is_proven_by_silence(pack: dict[str, Rule]) -> None:
    for rule_id in ("cover.open", "cover.tilt", "cover.overflow", "road.ponding", "road.underpass"):
        assert level_rule(pack, rule_id).proof == "silence"


def test_every_family_has_its_silence_and_its_late_hazard(pack: dict[str, Rule]) -> None:
    for family in FAMILIES:
        offline, late = pack[f"{family}.offline"], pack[f"{family}.late_hazard"]
        assert isinstance(offline, NoDataRule)
        assert isinstance(late, LateHazardRule)
        assert offline.intervals == (1.5 if family == "cover" else 3)
        assert offline.grace_s > 0 or family == "cover"
        assert late.severity == "blue"
    assert {"shard.session_lost", "sink.failing"} <= pack.keys()


def test_what_goes_to_the_platform(pack: dict[str, Rule]) -> None:
    """Offline and battery are internal; rain itself is no case; surcharge without a blockage is none either. What is
    only suspected is verified first."""
    said = {rule_id: getattr(rule, "case", None) for rule_id, rule in pack.items()}
    cases: dict[str, CaseCode] = {rule_id: case for rule_id, case in said.items() if case is not None}
    for rule_id in pack:
        internal = rule_id.startswith("rain.") or rule_id.rpartition(".")[2] in (
            "offline", "battery", "battery_voltage", "signal", "surcharge", "ch4_entry", "h2s", "co",
        )  # fmt: skip
        assert not (internal and rule_id in cases), rule_id
    filings = {rule_id: rule for rule_id, rule in pack.items() if isinstance(rule, FilingRule)}
    filed = {rule_id: filings[case.filing] for rule_id, case in cases.items() if case.filing is not None}
    assert filed.keys() == cases.keys(), "each shipped case names its 立案条件"
    codes = {rule_id: filing.code for rule_id, filing in filed.items()}
    assert codes["road.ponding"] == codes["road.underpass"] == codes["cover.overflow"] == "0406"
    assert codes["pipe.foul_full"] == codes["drainage.blockage"] == "0404"
    assert codes["lamp.out"] == "0118"
    assert codes["lamp.tilt"] == "0117"
    assert codes["cover.open"] == codes["cover.tilt"] == "asset"
    verified = {rule_id for rule_id, filing in filed.items() if filing.verify == "operator"}
    assert verified == {
        "cover.late_hazard",
        "road.late_hazard",
        "pump.late_hazard",
        "lamp.late_hazard",
        "pipe.foul_full",
        "cover.dry_weather_high",
    }
    codes_rule = next(rule for rule in pack.values() if isinstance(rule, CodesRule))
    named = codes_rule.names["GB/T 30428.2-2013"]
    assert all(filing.code in named for filing in filings.values() if filing.code.isdigit())


def test_whoever_is_woken_is_told_what_to_do(pack: dict[str, Rule]) -> None:
    """A level that reaches a crew (orange, red) of a rule that is a case has an order to go with it."""
    for rule_id, rule in pack.items():
        if isinstance(rule, LevelRule) and rule.case is not None:
            worst = max(level.rank for level in rule.levels)
            assert (rule.crew is not None) == (worst >= Severity.orange), rule_id

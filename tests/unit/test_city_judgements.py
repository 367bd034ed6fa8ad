"""What rules over several devices make of what they are given: weather, limits by weather, stuck gauges, gateways, and
what is remembered from one judgement to the next. All pure."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.city.composite import Asked, joined, of_span, of_value, of_weather
from alerts.city.conditioned import guarded, limits_of, set_for
from alerts.city.devices import Span
from alerts.city.gateways import limits_of as gateway_limits
from alerts.city.gateways import share_silent
from alerts.city.memory import Judgement, Remembered, judged
from alerts.city.stuck import is_stuck, moved, stands_still
from alerts.city.weather import Fall, fallen, weather_of, wettest
from alerts.judge.outcome import RuleInForce
from alerts.judge.transition import NORMAL, Change, Limits
from alerts.rules import ConditionedRule, GatewayOutageRule, RuleError, StuckRule, WeatherRule, parse_rule, shipped_pack
from alerts.rules.composite import Input
from alerts.rules.conditioned import SETS
from alerts.rules.expression import Truth
from alerts.rules.weather import Weather
from underfoot.alarms import Condition, Reason, SubjectKind

PACK = {rule.rule_id: rule for rule in shipped_pack()}
MINUTE = 60_000_000
HOUR = 60 * MINUTE


def shipped(rule_id: str, kind: type) -> Any:
    rule = PACK[rule_id]
    assert isinstance(rule, kind)
    return rule


# weather ------------------------------------------------------------------------------------------------------------

RAIN: WeatherRule = shipped("rain.weather", WeatherRule)


def five_minutely(*amounts: float | None, intensity: float | None = None) -> list[Fall]:
    return [Fall(number * 5 * MINUTE, amount, intensity) for number, amount in enumerate(amounts)]


@pytest.mark.parametrize(
    ("falls", "weather"),
    [
        ([], Weather.unknown),
        (five_minutely(*[0.0] * 12), Weather.dry),
        (five_minutely(*[0.0] * 11, 0.2), Weather.wet),
        (five_minutely(0.2, *[0.0] * 20), Weather.dry),
        (five_minutely(*[0.1] * 3), Weather.wet),
        (five_minutely(*[1.7] * 12), Weather.storm),
        (five_minutely(*[1.6] * 12), Weather.wet),
        (five_minutely(0.0, intensity=60.0), Weather.storm),
        (five_minutely(None, intensity=12.0), Weather.dry),
    ],
)
def test_what_a_gauge_says(falls: list[Fall], weather: Weather) -> None:
    assert weather_of(falls, RAIN) is weather


def test_a_storm_is_held_for_a_while_after_it() -> None:
    """20 mm at once, then nothing: an hour in which they are 20 mm in an hour, and the hold, less a report."""
    after = [weather_of(five_minutely(20.0, *[0.0] * dry), RAIN) for dry in range(1, 24)]
    assert after == [Weather.storm] * 14 + [Weather.dry] * 9


def test_the_wettest_counts_and_nobody_is_unknown() -> None:
    assert wettest([Weather.dry, Weather.wet, Weather.unknown]) is Weather.wet
    assert wettest([Weather.unknown]) is wettest([]) is Weather.unknown


@given(st.lists(st.tuples(st.integers(0, 20), st.floats(0, 30)), max_size=20), st.integers(0, 20))
def test_more_rain_is_never_drier(said: list[tuple[int, float]], extra: int) -> None:
    falls = [Fall(minutes * 5 * MINUTE, amount, None) for minutes, amount in sorted(said)]
    more = [replace(fall, amount_mm=(fall.amount_mm or 0) + extra) for fall in falls]
    rank = [Weather.unknown, Weather.dry, Weather.wet, Weather.storm].index
    assert rank(weather_of(more, RAIN)) >= rank(weather_of(falls, RAIN))


def test_fallen_is_from_after_the_span_to_now() -> None:
    falls = five_minutely(1, 2, 4, 8)
    assert fallen(falls, 15 * MINUTE, 10 * 60) == 12
    assert fallen(falls, 15 * MINUTE, 10 * 60 + 1) == 14
    assert fallen(falls, 14 * MINUTE, 10 * 60) == 6


# limits by weather --------------------------------------------------------------------------------------------------

TOUCH: ConditionedRule = shipped("lamp.touch_voltage_wet", ConditionedRule)


@pytest.mark.parametrize(
    ("weather", "water", "name"),
    [
        (Weather.dry, False, "dry"),
        (Weather.wet, False, "wet"),
        (Weather.storm, False, "storm"),
        (Weather.dry, True, "standing_water"),
        (Weather.unknown, True, "standing_water"),
        (Weather.unknown, False, "wet"),
        (Weather.dry, None, "standing_water"),
    ],
)
def test_unknown_takes_the_more_sensitive_set(weather: Weather, water: Truth, name: str) -> None:
    chosen = set_for(TOUCH, weather, water)
    assert limits_of(TOUCH, chosen).reach == limits_of(TOUCH, name).reach  # type: ignore[arg-type]


def test_a_set_without_a_severity_has_it_with_the_next_higher() -> None:
    level = {"dead_band": 2, "samples": 2}
    rule = parse_rule(
        TOUCH.model_dump(mode="json")
        | {"dry": [{"severity": "yellow", "limit": 12, **level}, {"severity": "orange", "limit": 24, **level}]}
        | {"wet": [{"severity": "yellow", "limit": 12}, {"severity": "red", "limit": 24, "dead_band": 2}]}
    )
    assert isinstance(rule, ConditionedRule)
    dry, wet, water = (limits_of(rule, name) for name in ("dry", "wet", "standing_water"))
    assert dry.severity == wet.severity == water.severity == (2, 3, 4)
    assert dry.reach == (12, 24, math.inf)
    assert dry.leave == (10, 22, math.inf)
    assert wet.reach == (12, 24, 24)
    assert wet.leave == (12, 22, 22)
    assert water.reach == (12, 12, 12)
    assert limits_of(TOUCH, "dry").reach == (math.inf,), "in that weather it does not apply"


def test_absolute_danger_is_a_level_rule_of_the_same_field() -> None:
    """In no weather does a rule with conditions stand alone for what is dangerous: a level rule does."""
    for rule in PACK.values():
        if isinstance(rule, ConditionedRule) and rule.case is not None:
            levels = [one for one in PACK.values() if one.kind == "level" and one.field == rule.field]
            assert any(level.severity == "red" for one in levels for level in one.levels), rule.rule_id


@given(st.sampled_from(list(Weather)), st.sampled_from([True, False, None]), st.floats(0, 100))
def test_what_is_unknown_alarms_no_later_than_any_that_may_hold(weather: Weather, water: Truth, value: float) -> None:
    def reached(name: Any) -> int:
        limits = limits_of(TOUCH, name)
        return max(
            (severity for severity, at in zip(limits.severity, limits.reach, strict=True) if value >= at), default=0
        )

    waters = [True, False] if water is None else [water]
    weathers = [Weather.dry, Weather.wet, Weather.storm] if weather is Weather.unknown else [weather]
    possible = [set_for(TOUCH, one, two) for one in weathers for two in waters]
    assert reached(set_for(TOUCH, weather, water)) >= max(reached(name) for name in possible)


def test_guards_and_what_is_not_said() -> None:
    storm: ConditionedRule = shipped("pipe.dry_weather_storm", ConditionedRule)
    foul: ConditionedRule = shipped("pipe.dry_weather_foul", ConditionedRule)
    said = {"fill_ratio": 0.8, "network": 1}
    assert guarded(storm, said) == 0.8
    assert guarded(foul, said) == -math.inf
    assert guarded(storm, said | {"network": None}) is None
    assert guarded(foul, said | {"network": None}) == 0.8
    assert guarded(storm, said | {"fill_ratio": None}) is None


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"field": "voltage"}, "field"),
        ({"dry": [], "wet": [], "storm": [], "standing_water": []}, "dry"),
        ({"water": None}, "water"),
        ({"dry": [{"severity": "red", "limit": 30}, {"severity": "blue", "limit": 10}]}, "dry"),
        ({"when": {"on": 3}}, "when"),
        ({"max_age_s": 0}, "max_age_s"),
        ({"dry": [{"severity": "red", "limit": "high"}]}, "dry.0.limit"),
    ],
)
def test_a_wrong_conditioned_rule_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(RuleError) as raised:
        parse_rule(TOUCH.model_dump(mode="json") | change)
    assert any(problem.field == field or problem.field.startswith(field) for problem in raised.value.problems)


@pytest.mark.parametrize("name", SETS)
def test_limits_rise_with_severity_in_every_weather(name: Any) -> None:
    for rule in PACK.values():
        if isinstance(rule, ConditionedRule):
            limits = limits_of(rule, name)
            assert list(limits.reach) == sorted(limits.reach)
            assert list(limits.leave) == sorted(limits.leave)


# composite ----------------------------------------------------------------------------------------------------------


def test_what_an_input_says_of_a_value() -> None:
    above = Input(field="depth_cm", above=5, max_age_s=60)
    below = Input(field="depth_cm", below=5, max_age_s=60)
    equals = Input(field="running", equals=False, max_age_s=60)
    assert [of_value(above, value) for value in (4.9, 5.0, None)] == [False, True, None]
    assert [of_value(below, value) for value in (4.9, 5.0, 5.1, None)] == [True, True, False, None]
    assert [of_value(equals, value) for value in (False, True, None)] == [True, False, None]


def span(first: float, last: float, *, least: float = 0, most: float = 0, said: int = 9, lasted_s: float = 900) -> Span:
    return Span(0, 0, first, last, least, most, said, int(lasted_s * 1e6))


def test_what_an_input_says_of_a_change() -> None:
    falls = Input(field="depth_cm", falls_by=2, over_s=900, max_age_s=60)
    rises = Input(field="depth_cm", rises_by=2, over_s=900, max_age_s=60)
    assert of_span(falls, span(5, 3)) is True
    assert of_span(falls, span(5, 3.1)) is False
    assert of_span(falls, span(3, 5)) is False
    assert of_span(rises, span(3, 5)) is True
    assert of_span(rises, span(3, 5, lasted_s=600)) is None, "too short a time says nothing about a quarter of an hour"
    assert of_span(rises, None) is None


def test_what_an_input_says_of_the_weather() -> None:
    wet, storm = Input(of="area_rain", at_least="wet"), Input(of="area_rain", at_least="storm")
    assert [of_weather(wet, one) for one in Weather] == [False, True, True, None]
    assert [of_weather(storm, one) for one in Weather] == [False, False, True, None]


def test_of_several_devices_one_is_enough_and_none_is_unknown() -> None:
    assert joined([Asked(False), Asked(True), Asked(None)]).truth is True
    assert joined([Asked(False), Asked(None)]).truth is None
    assert joined([Asked(False), Asked(False)]).truth is False
    assert joined([]).truth is None


COMPOSITE = PACK["lamp.leaking_in_water"].model_dump(mode="json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"holds": "leaking"}, "standing_water is an input, and is not asked"),
        ({"holds": "leaking and standing_water and rain"}, "rain is no input"),
        ({"holds": "leaking > standing_water"}, "is neither a name nor"),
        ({"inputs": {"leaking": {"field": "leakage_ma", "max_age_s": 60}}}, "exactly one of"),
        ({"inputs": {"leaking": {"field": "leakage_ma", "above": 1, "below": 3, "max_age_s": 60}}}, "exactly one of"),
        ({"inputs": {"leaking": {"field": "leakage_ma", "above": 1}}}, "max_age_s is needed"),
        ({"inputs": {"leaking": {"field": "leakage", "above": 1, "max_age_s": 60}}}, "has no field 'leakage'"),
        ({"inputs": {"leaking": {"field": "on", "above": 1, "max_age_s": 60}}}, "is a state"),
        ({"inputs": {"leaking": {"field": "leakage_ma", "equals": 1, "max_age_s": 60}}}, "is measured"),
        ({"inputs": {"leaking": {"field": "on", "equals": 7, "max_age_s": 60}}}, "true or false"),
        (
            {"inputs": {"leaking": {"of": "nearest", "field": "on", "equals": True, "max_age_s": 60}}},
            "family is needed",
        ),
        ({"inputs": {"leaking": {"of": "area_rain", "field": "on", "at_least": "wet"}}}, "field is not for it"),
        ({"inputs": {"leaking": {"field": "on", "at_least": "wet", "max_age_s": 60}}}, "asked of area_rain"),
    ],
)
def test_a_wrong_composite_rule_says_what_is_wrong(change: dict[str, Any], said: str) -> None:
    with pytest.raises(RuleError) as raised:
        parse_rule(COMPOSITE | change)
    assert said in str(raised.value)


# stuck --------------------------------------------------------------------------------------------------------------

STUCK: StuckRule = shipped("pipe.stuck", StuckRule)
WHOLE = {"said": 24, "lasted_s": 21600}


@pytest.mark.parametrize(
    ("own", "still"),
    [
        (None, None),
        (span(1, 1, least=1, most=1.001, said=24, lasted_s=21600), True),
        (span(1, 1, least=1, most=1.002, said=24, lasted_s=21600), False),
        (span(1, 1, least=1, most=1.001, said=11, lasted_s=21600), None),
        (span(1, 1, least=1, most=1.001, said=24, lasted_s=9000), None),
        (span(1, 1, least=1, most=1.5, said=2, lasted_s=60), False),
    ],
)
def test_standing_still_takes_time_and_moving_does_not(own: Span | None, still: Truth) -> None:
    assert stands_still(own, STUCK) is still


def test_stuck_is_who_stands_still_while_others_move() -> None:
    moving, quiet = span(0, 0, least=0, most=0.05, **WHOLE), span(0, 0, least=0, most=0.01, **WHOLE)
    assert (moved(moving, STUCK), moved(quiet, STUCK), moved(None, STUCK)) == (True, False, None)
    assert is_stuck(True, [True, False], False, STUCK) is True
    assert is_stuck(True, [False, False], False, STUCK) is None, "all may be calm"
    assert is_stuck(True, [], False, STUCK) is None
    assert is_stuck(True, [], True, STUCK) is None, "rain need not reach every pipe"
    assert is_stuck(True, [], True, STUCK.model_copy(update={"rain_moves_it": True})) is True
    assert is_stuck(False, [True, True], True, STUCK) is False
    assert is_stuck(None, [True, True], True, STUCK) is None


@given(st.sampled_from([True, False, None]), st.lists(st.sampled_from([True, False, None]), max_size=4))
def test_only_movement_of_its_own_clears_a_stuck_gauge(own: Truth, others: list[Truth]) -> None:
    assert (is_stuck(own, others, False, STUCK) is False) == (own is False)


# gateways -----------------------------------------------------------------------------------------------------------

GATEWAY: GatewayOutageRule = shipped("gateway.outage", GatewayOutageRule)


@pytest.mark.parametrize(
    ("devices", "silent", "is_open", "raised", "over"),
    [
        (10, 2, False, False, True),
        (10, 3, False, True, False),
        (100, 20, False, False, False),
        (100, 21, False, True, False),
        (3, 2, False, False, True),
        (3, 3, False, True, False),
        (10, 2, True, False, False),
        (10, 1, True, False, True),
        (4, 1, True, False, True),
        (100, 11, True, False, False),
        (100, 10, True, False, True),
        (10, 0, True, False, True),
        (0, 0, True, False, True),
    ],
)
def test_a_share_of_a_gateway(devices: int, silent: int, is_open: bool, raised: bool, over: bool) -> None:
    """More than 20 % and at least three raise it; no more than 10 %, or one, end it."""
    limits = gateway_limits(GATEWAY)
    share = share_silent(devices, silent, GATEWAY, is_open=is_open)
    assert (share >= limits.reach[0]) is raised
    assert (share < limits.leave[0]) is over


@given(st.integers(1, 500), st.integers(0, 500))
def test_a_gateway_alarm_is_never_raised_and_over_at_once(devices: int, silent: int) -> None:
    limits = gateway_limits(GATEWAY)
    share = share_silent(devices, min(silent, devices), GATEWAY, is_open=False)
    assert not (share >= limits.reach[0] and share < limits.leave[0])


# memory -------------------------------------------------------------------------------------------------------------

HELD = Limits(
    reach=(1.0,),
    leave=(1.0,),
    severity=(3,),
    on_delay_us=(10 * MINUTE,),
    samples=(2,),
    off_delay_us=5 * MINUTE,
    off_samples=1,
    by_silence=False,
    calm_us=HOUR,
)


def judgement(
    value: float | None, at_us: int, *seen: int, limits: Limits = HELD, caught_up_us: int | None = None
) -> Judgement:
    rule = RuleInForce(PACK["lamp.leaking_in_water"], 1)
    return Judgement((SubjectKind.device, 1), rule, limits, value, seen or (at_us,), at_us, at_us, {}, caught_up_us)


def run(*judgements: Judgement, before: Remembered | None = None) -> tuple[Remembered, list[Change]]:
    remembered, changes = before or Remembered(), list[Change]()
    for one in judgements:
        remembered, more = judged(remembered, one)
        changes += [change for change in more if isinstance(change, Change)]
    return remembered, changes


def test_the_same_again_proves_nothing() -> None:
    """Ticks come each two seconds; reports each quarter of an hour. Only these count."""
    once = judgement(1.0, HOUR)
    remembered, changes = run(*[once] * 500)
    assert remembered.state.condition is Condition.pending
    assert len(changes) == 1
    remembered, changes = run(judgement(1.0, HOUR + 10 * MINUTE), before=remembered)
    assert [(change.reason, change.at_us) for change in changes] == [(Reason.limit_reached, HOUR + 10 * MINUTE)]
    assert remembered.state.level == 1


def test_unknown_freezes_what_is_on_its_way_and_what_is_open() -> None:
    pending, _ = run(judgement(1.0, HOUR))
    assert run(*(judgement(None, HOUR + minute * MINUTE) for minute in range(600)), before=pending) == (pending, [])
    active, _ = run(judgement(1.0, HOUR + 10 * MINUTE), before=pending)
    assert run(judgement(None, 99 * HOUR, caught_up_us=999 * HOUR), before=active) == (active, [])


def test_what_is_unknown_now_has_not_held_in_silence() -> None:
    silent = replace(HELD, by_silence=True)
    pending, _ = run(judgement(1.0, HOUR, limits=silent, caught_up_us=HOUR))
    later = {"limits": silent, "caught_up_us": HOUR + 10 * MINUTE}
    assert run(judgement(None, HOUR, **later), before=pending)[1] == []  # type: ignore[arg-type]
    remembered, changes = run(judgement(1.0, HOUR, **later), before=pending)  # type: ignore[arg-type]
    assert [change.reason for change in changes] == [Reason.held_in_silence]
    assert remembered.state.level == 1


def test_a_subjects_time_never_goes_back() -> None:
    """An input with a clock ahead is followed by one that is right."""
    remembered, _ = run(judgement(1.0, HOUR), judgement(1.0, HOUR + 12 * MINUTE), judgement(0.0, HOUR + MINUTE))
    assert remembered.at_us == HOUR + 12 * MINUTE
    assert remembered.state.condition is Condition.clearing
    assert run(judgement(0.0, HOUR + 17 * MINUTE), before=remembered)[0].state.level == 0


def test_what_was_closed_by_hand_waits_for_something_new() -> None:
    active, _ = run(judgement(1.0, HOUR), judgement(1.0, HOUR + 10 * MINUTE))
    closed = active.closed_by_hand()
    again, changes = run(judgement(1.0, HOUR + 10 * MINUTE), before=closed)
    assert (again, changes) == (closed, [])
    again, changes = run(judgement(1.0, HOUR + 25 * MINUTE), before=closed)
    assert again.state.condition is Condition.pending


def test_over_is_over() -> None:
    remembered, changes = run(
        judgement(1.0, HOUR), judgement(1.0, 2 * HOUR), judgement(0.0, 3 * HOUR), judgement(0.0, 4 * HOUR)
    )
    assert [change.after for change in changes] == [
        Condition.pending, Condition.active, Condition.clearing, Condition.normal,
    ]  # fmt: skip
    assert replace(remembered.state, history=NORMAL.history) == NORMAL

"""Overrides: a rule's numbers for a narrower scope, and which of several counts; what is wrong is said by field."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.judge.outcome import RuleInForce, Variant
from alerts.rules import Rule, RuleError, parse_rule, shipped_pack
from alerts.rules.override import CITY, Scope, earliness, numbers_of, overridden, parse_override

PACK: dict[str, Rule] = {rule.rule_id: rule for rule in shipped_pack()}
PONDING = PACK["road.ponding"]
OVERRIDE: dict[str, Any] = {
    "rule_id": "road.ponding",
    "scope": "tag:学校",
    "source": "school gates: half the depth",
    "levels": [{"severity": "orange", "limit": 10, "dead_band": 2}],
}


@pytest.mark.parametrize(
    "text", ["city", "area:41", "area:410502", "area:410502003", "tag:学校", "tag:a:b", "device:R-1"]
)
def test_scope_is_printed_as_it_is_read(text: str) -> None:
    assert str(Scope.parse(text)) == text


def test_area_is_named_without_its_padding() -> None:
    assert str(Scope.parse("area:410502003000")) == "area:410502003"


@pytest.mark.parametrize(
    "text",
    [
        *("", "town", "city:410502", "area", "area:", "area:4105021", "area:文峰", "tag:", "tag:" + "x" * 65),
        *("tag:a\nb", "tag:a/b", "device:", "device:R 1", "device:" + "x" * 65, "家:R-1"),
    ],
)
def test_what_is_no_scope_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="scope") as raised:
        Scope.parse(text)
    assert repr(text) in str(raised.value)


def variant(scope: str, limit: float = 15, *, enabled: bool = True, severity: str = "yellow") -> Variant:
    body = OVERRIDE | {"scope": scope, "levels": [{"severity": severity, "limit": limit}]}
    return Variant(Scope.parse(scope), overridden(PONDING, parse_override(body)), 2, enabled)


DEVICE: dict[str, Any] = {"device_id": "R-1", "area_code": "410502003", "tags": ["学校", "低洼"]}


def chosen(*variants: Variant, **device: Any) -> Variant | None:
    in_force = RuleInForce(PONDING, 1, tuple(sorted(variants, key=lambda one: one.precedence)))
    return in_force.variant_for(**(DEVICE | device))


def test_the_narrowest_scope_counts() -> None:
    narrowing = [variant(scope) for scope in ("area:41", "area:410502", "area:410502003", "tag:学校", "device:R-1")]
    for n in range(len(narrowing)):
        for order in itertools.permutations(narrowing[: n + 1]):
            assert chosen(*order) == narrowing[n]
    assert chosen() is None
    assert chosen(*narrowing, device_id="R-2") == narrowing[3]
    assert chosen(*narrowing, device_id="R-2", tags=[]) == narrowing[2]
    assert chosen(*narrowing, device_id="R-2", tags=[], area_code="410502004") == narrowing[1]
    assert chosen(*narrowing, device_id="R-2", tags=[], area_code="310104") is None


def test_of_two_tags_the_one_counts_that_alarms_earlier() -> None:
    early, late = variant("tag:低洼", 5), variant("tag:学校", 10)
    assert chosen(early, late) == chosen(late, early) == early
    # not the one that comes first in the alphabet, in either direction
    early, late = variant("tag:学校", 5), variant("tag:低洼", 10)
    assert chosen(early, late) == chosen(late, early) == early


def test_of_two_tags_the_one_counts_that_is_red_earlier() -> None:
    mild = variant("tag:学校", 5, severity="blue")
    red = variant("tag:低洼", 30, severity="red")
    assert chosen(mild, red) == red


def test_a_tag_that_switches_off_never_beats_one_that_judges() -> None:
    off, on = variant("tag:学校", 1, enabled=False), variant("tag:低洼", 30)
    assert chosen(off, on) == chosen(on, off) == on
    assert chosen(off) == off
    assert chosen(off, variant("device:R-1")) == variant("device:R-1")


def test_earliness_looks_below_as_it_looks_above() -> None:
    battery = PACK["cover.battery"]
    body = {"rule_id": "cover.battery", "scope": "tag:x", "source": "x"}
    earlier = overridden(battery, parse_override(body | {"levels": [{"severity": "blue", "limit": 40}]}))
    later = overridden(battery, parse_override(body | {"levels": [{"severity": "blue", "limit": 10}]}))
    assert earliness(earlier) < earliness(later)


def test_a_shorter_wait_alarms_earlier() -> None:
    offline = PACK["cover.offline"]
    body = {"rule_id": "cover.offline", "scope": "tag:x", "source": "x"}
    assert earliness(overridden(offline, parse_override(body | {"intervals": 1.2}))) < earliness(offline)


@pytest.mark.parametrize(
    "rule", [rule for rule in shipped_pack() if "area" in rule.narrower], ids=lambda rule: rule.rule_id
)
def test_what_may_differ_of_a_kind_is_numbers(rule: Rule) -> None:
    """Each of them, written into an override as it stands, gives the rule again, but for its source."""
    body = rule.model_dump(mode="json")
    assert numbers_of(type(rule))
    assert set(numbers_of(type(rule))).isdisjoint({"rule_id", "kind", "family", "field", "title", "case", "crew"})
    for name in numbers_of(type(rule)):
        override = parse_override({"rule_id": rule.rule_id, "scope": "area:41", "source": "x", name: body[name]})
        assert overridden(rule, override) == parse_rule(body | {"source": "x"})


def test_the_rule_within_a_scope_is_complete() -> None:
    rule = overridden(PONDING, parse_override(OVERRIDE | {"off_delay_s": 60}))
    assert [level.limit for level in rule.levels] == [10]  # type: ignore[union-attr]
    assert rule.model_dump(exclude={"levels", "off_delay_s", "source"}) == PONDING.model_dump(
        exclude={"levels", "off_delay_s", "source"}
    )
    assert (rule.off_delay_s, rule.source) == (60, "school gates: half the depth")  # type: ignore[union-attr]


@pytest.mark.parametrize("rule", shipped_pack(), ids=lambda rule: rule.rule_id)
@pytest.mark.parametrize("scope", ["area:410502", "tag:x", "device:R-1"])
def test_who_may_have_numbers_of_their_own_is_told(rule: Rule, scope: str) -> None:
    override = parse_override({"rule_id": rule.rule_id, "scope": scope, "source": "x", "enabled": False})
    if override.scope.kind in rule.narrower:
        assert overridden(rule, override) == parse_rule(rule.model_dump(mode="json") | {"source": "x"})
    else:
        with pytest.raises(RuleError, match="scope") as raised:
            overridden(rule, override)
        assert raised.value.problems[0].value == scope


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"scope": "city"}, "scope", "narrower"),
    ({"scope": "school"}, "scope", "'school'"),
    ({"source": ""}, "source", "''"),
    ({"enabled": "no"}, "enabled", "'no'"),
    ({"intervals": 3}, "intervals", "kind level"),
    ({"field": "rise_cm"}, "field", "numbers only"),
    ({"title": "积水"}, "title", "numbers only"),
    ({"sum_over_s": 60}, "sum_over_s", "numbers only"),
    ({"off_delay_s": -1}, "off_delay_s", "-1"),
    ({"levels": []}, "levels", "[]"),
    ({"levels": [{"severity": "red", "limit": "a"}]}, "levels.0.limit", "'a'"),
    ({"levels": [{"severity": "red", "limit": 5}, {"severity": "blue", "limit": 9}]}, "levels", "rise in severity"),
    ({"rule_id": "road.underpass"}, "rule_id", "road.underpass"),
]


@pytest.mark.parametrize(("body", "field", "said"), WRONG, ids=lambda part: part if isinstance(part, str) else "")
def test_wrong_override_names_rule_scope_field_and_value(body: dict[str, Any], field: str, said: str) -> None:
    with pytest.raises(RuleError) as raised:
        overridden(PONDING, parse_override(OVERRIDE | body))
    assert str(raised.value).startswith((OVERRIDE | body)["rule_id"])
    assert [problem.field for problem in raised.value.problems] == [field]
    assert said in str(raised.value)


def test_an_override_that_changes_nothing_is_refused() -> None:
    body = {name: value for name, value in OVERRIDE.items() if name != "levels"}
    with pytest.raises(RuleError, match="changes nothing"):
        parse_override(body)
    assert parse_override(body | {"enabled": False}).numbers == {}


def test_source_is_asked_for() -> None:
    with pytest.raises(RuleError, match="source"):
        parse_override({name: value for name, value in OVERRIDE.items() if name != "source"})


@given(st.lists(st.sampled_from([5.0, 10.0, 20.0]), min_size=2, max_size=2), st.booleans(), st.booleans())
def test_which_tag_counts_does_not_hang_on_the_order(limits: list[float], first: bool, second: bool) -> None:
    one, other = variant("tag:学校", limits[0], enabled=first), variant("tag:低洼", limits[1], enabled=second)
    assert chosen(one, other) == chosen(other, one)


def test_city_is_the_widest() -> None:
    assert CITY.holds(**DEVICE)
    assert CITY.precedence < Scope.parse("area:41").precedence

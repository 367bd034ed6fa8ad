"""Rules as files: what is wrong is said with its line; what is written reads back as the same; differences in words."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rulebook.changes import differences
from alerts.rulebook.files import FileProblem, read_rules, written
from alerts.rules import Rule, RuleError, parse_rule, shipped_pack
from alerts.rules.override import Override, numbers_of, overridden, parse_override
from underfoot.plain_yaml import read_yaml, write_yaml

PACK: dict[str, Rule] = {rule.rule_id: rule for rule in shipped_pack()}

FILE = """\
# 本市的规则
- rule_id: road.ponding
  kind: level
  family: road
  title: 道路积水
  source: the city's own
  field: depth_cm
  levels:
    - {severity: blue, limit: 5, dead_band: 2}
    - {severity: red, limit: 40, dead_band: 3}
- rule_id: road.ponding
  scope: tag:学校门口
  source: half the depth
  levels: [{severity: red, limit: 20}]
- rule_id: cover.tilt
  scope: device:C-1
  source: under repair
  enabled: false
"""


def problems(text: str) -> list[FileProblem]:
    return read_rules(text.encode(), "rules.yaml", PACK).problems


def said(text: str) -> list[tuple[int, str, str]]:
    return [(one.line, one.rule, one.problem.field) for one in problems(text)]


def test_a_file_of_rules_and_overrides() -> None:
    found = read_rules(FILE.encode(), "rules.yaml", PACK)
    assert found.problems == []
    assert [rule.rule_id for rule in found.rules] == ["road.ponding"]
    assert [(o.rule_id, str(o.scope), o.enabled) for o in found.overrides] == [
        ("road.ponding", "tag:学校门口", True),
        ("cover.tilt", "device:C-1", False),
    ]


def test_everything_that_is_wrong_is_said_with_its_line() -> None:
    wrong = (
        FILE.replace("limit: 40", "limit: high")
        .replace("field: depth_cm", "field: depth")
        .replace("limit: 20", "limits: 20")
        .replace("enabled: false", "enabled: false\n  off_delay_s: -1")
    )
    assert said(wrong) == [
        (10, "road.ponding", "levels.1.limit"),
        (14, "road.ponding: tag:学校门口", "levels.0.limits"),
        (19, "cover.tilt: device:C-1", "off_delay_s"),
    ]
    shown = str(problems(wrong)[0])
    assert shown.startswith("rules.yaml:10: road.ponding: levels.1.limit = 'high': ")


def test_what_the_whole_rule_shows_is_said_at_the_field_it_is_about() -> None:
    assert said(FILE.replace("depth_cm", "depth")) == [(7, "road.ponding", "field")]
    assert said(FILE.replace("limit: 40", "limit: 4")) == [(8, "road.ponding", "levels")]


WRONG: list[tuple[str, tuple[int, str, str], str]] = [
    ("", (1, "file", "rule"), "a list"),
    ("rule_id: x", (1, "file", "rule"), "a list"),
    ("- rule_id: a.b\n  rule_id: c.d\n", (2, "file", "rule"), "twice"),
    ("- [1, 2", (1, "file", "rule"), "not YAML"),
    ("- 5\n", (1, "line 1", "rule"), "a mapping"),
    ("- rule_id: road.ponding\n  scope: school\n  source: x\n", (2, "road.ponding", "scope"), "'school'"),
    ("- rule_id: road.none\n  scope: tag:x\n  source: x\n  enabled: false\n", (1, "road.none", "rule_id"), "needs it"),
    ("the first rule once more", (19, "road.ponding", "rule_id"), "line 2"),
]


@pytest.mark.parametrize(("text", "first", "why"), WRONG, ids=range(len(WRONG)))
def test_what_is_no_file_of_rules_is_refused(text: str, first: tuple[int, str, str], why: str) -> None:
    if why == "line 2":
        text = FILE + "\n".join(FILE.splitlines()[1:10]) + "\n"
    assert said(text)[0] == first
    assert why in str(problems(text)[0])


def test_an_override_of_a_rule_that_is_wrong_itself_is_not_told_as_well() -> None:
    assert said(FILE.replace("kind: level", "kind: levels").replace("road.ponding", "road.own"))[0][1] == "road.own"
    assert len(said(FILE.replace("kind: level", "kind: levels").replace("road.ponding", "road.own"))) == 1


def test_two_rules_for_one_silence_are_refused() -> None:
    two = written([PACK["road.offline"], parse_rule(PACK["road.offline"].model_dump() | {"rule_id": "road.silent"})])
    assert [(rule, field) for _, rule, field in said(two)] == [("road.silent", "kind")]


def test_a_file_too_long_is_not_read() -> None:
    assert "at most" in str(problems("# " + "x" * (1024 * 1024))[0])


# what is written reads back -----------------------------------------------------------------------------------------


def test_the_pack_reads_back_as_it_is() -> None:
    found = read_rules(written(shipped_pack()).encode(), "pack", {})
    assert found.problems == []
    assert tuple(found.rules) == shipped_pack()


def test_a_limit_is_written_though_it_is_as_if_not_said() -> None:
    assert "limit: 1," in written([PACK["cover.overflow"]])
    assert "limit" not in written([PACK["cover.open"]])


WORDS = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() == text)
TRICKY = st.sampled_from(["on", "no", "1e5", "08", "0406", "12:30", "~", "null", "2026-07-01", "#x", "a: b", "'", "-"])
NUMBERS = st.floats(0.5, 90, allow_nan=False).map(lambda number: round(number, 3))


DUMPED = [rule.model_dump(mode="json") for rule in shipped_pack()]


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A shipped rule with other words and numbers."""
    body = copy.deepcopy(draw(st.sampled_from(DUMPED)))
    body["title"] = draw(WORDS | TRICKY)
    body["source"] = draw(WORDS | TRICKY)
    for name, value in body.items():
        if name in ("off_delay_s", "grace_s", "dead_band") and isinstance(value, int | float):
            body[name] = draw(NUMBERS)
    if body["kind"] == "level" and body["equals"] is None and body["worst_from"] is None:
        limits = sorted(draw(st.sets(NUMBERS, min_size=len(body["levels"]), max_size=len(body["levels"]))))
        if body["looks"] == "below":
            limits.reverse()
        for level, limit in zip(body["levels"], limits, strict=True):
            level |= {"limit": limit, "dead_band": 0, "on_delay_s": draw(NUMBERS), "samples": draw(st.integers(1, 9))}
    if body.get("crew"):
        body["crew"]["act"] = draw(WORDS | TRICKY)
    return parse_rule(body)


@st.composite
def overrides(draw: st.DrawFn) -> Override:
    rule = draw(rules().filter(lambda rule: "tag" in rule.narrower))
    body = rule.model_dump(mode="json")
    names = draw(st.sets(st.sampled_from(numbers_of(type(rule))), min_size=1))
    scope = draw(st.sampled_from(["area:410502", "tag:on", "tag:a: b", "tag:#", "tag:学校 门口", "device:1e5"]))
    said = {"rule_id": rule.rule_id, "scope": scope, "source": body["source"], "enabled": draw(st.booleans())}
    return parse_override(said | {name: body[name] for name in names})


@given(st.lists(rules(), max_size=4, unique_by=lambda rule: rule.rule_id), overrides())
def test_what_is_written_reads_back_as_the_same(found: list[Rule], override: Override) -> None:
    text = written(found, [override])
    read = read_rules(text.encode(), "rules.yaml", {**PACK, **{rule.rule_id: rule for rule in found}})
    assert [str(one) for one in read.problems if one.problem.field != "kind"] == []
    assert {rule.rule_id: rule for rule in read.rules} == {rule.rule_id: rule for rule in found}
    (back,) = read.overrides
    assert (back.rule_id, back.scope, back.source, back.enabled) == (
        override.rule_id,
        override.scope,
        override.source,
        override.enabled,
    )
    rule = next((one for one in found if one.rule_id == override.rule_id), PACK[override.rule_id])
    assert overridden(rule, back) == overridden(rule, override)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | NUMBERS | WORDS | TRICKY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | TRICKY, inner, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_yaml_is_read_as_it_was_meant(value: Any) -> None:
    printable = read_yaml(write_yaml(value).encode(), "x", at_most=10**6).value
    assert printable == value


# differences --------------------------------------------------------------------------------------------------------


def test_differences_name_the_numbers() -> None:
    before = PACK["road.ponding"].model_dump(mode="json")
    levels = [dict(level) for level in before["levels"]]
    levels[3]["limit"] = 30
    after = before | {"levels": [*levels[:2], levels[3]], "off_delay_s": 60, "title": "深积水"}
    assert set(differences(before, after)) == {
        "levels.red.limit 40 → 30",
        "levels.orange.limit 27 → –",
        "levels.orange.dead_band 3 → –",
        "levels.orange.on_delay_s 0 → –",
        "levels.orange.samples 1 → –",
        "off_delay_s 600 → 60",
        "title 道路积水 → 深积水",
    }
    assert differences(before, before) == []


def test_an_error_without_a_rule_id_names_the_item() -> None:
    with pytest.raises(RuleError, match="a rule without rule_id"):
        parse_rule({"kind": "level"})
    assert said("- kind: level\n")[0][0] == 1

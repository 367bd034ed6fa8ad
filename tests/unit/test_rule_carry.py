"""What is open under one version of a rule goes on under another: nothing is raised twice, nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from alerts.judge.flapping import CALM
from alerts.judge.levels import comparable
from alerts.judge.transition import NORMAL, Sample, State, on_sample
from alerts.rulebook.carry import carried, continues
from alerts.rules import LevelRule, Rule, parse_rule, shipped_pack
from underfoot.alarms import Condition

PACK = {rule.rule_id: rule for rule in shipped_pack()}
MINUTE = 60_000_000


def rule(*levels: tuple[str, float, float], **more: Any) -> LevelRule:
    body = {
        "rule_id": "road.ponding",
        "kind": "level",
        "family": "road",
        "title": "积水",
        "source": "a test",
        "field": "depth_cm",
        "levels": [
            {"severity": severity, "limit": limit, "dead_band": band, "on_delay_s": 60 * more.get("minutes", 0)}
            for severity, limit, band in levels
        ],
        "off_delay_s": 60,
    }
    made = parse_rule(body | {name: value for name, value in more.items() if name != "minutes"})
    assert isinstance(made, LevelRule)
    return made


def condition(state: State | None) -> State | None:
    """The state without what flapping is seen by, which no edit changes."""
    return None if state is None else replace(state, history=CALM)


def kept(old: Rule, new: Rule, state: State) -> State | None:
    found = carried(old, new, state)
    assert found is None or found.history == state.history
    return condition(found)


def under(of: LevelRule, *values: float, state: State = NORMAL, begin: int = 0) -> State:
    """The state after these values, a minute apart."""
    limits = comparable(of)
    for n, value in enumerate(values, start=begin):
        proof = {"value": value, "field": of.field}
        state, _ = on_sample(limits, state, Sample(of.sign * value, n * MINUTE, n * MINUTE, proof))
    return state


FOUR = rule(("blue", 5, 2), ("yellow", 15, 3), ("orange", 27, 3), ("red", 40, 3))


def test_a_limit_raised_above_the_value_leaves_the_episode_to_end_as_any() -> None:
    new = rule(("blue", 30, 2))
    state = carried(rule(("blue", 5, 2)), new, under(rule(("blue", 5, 2)), 16))
    assert state is not None
    assert condition(state) == State(level=1)
    assert condition(under(new, 16, 16, state=state, begin=1)) == NORMAL


def test_a_limit_lowered_below_the_value_raises_the_severity_at_once() -> None:
    new = rule(("blue", 1, 0), ("yellow", 3, 0), ("orange", 8, 1), ("red", 14, 2))
    assert kept(FOUR, new, under(FOUR, 16)) == State(level=4)


def test_fewer_levels_keep_the_severity_there_is() -> None:
    assert kept(FOUR, rule(("yellow", 15, 3), ("red", 40, 3)), under(FOUR, 16)) == State(level=1)
    assert kept(FOUR, rule(("yellow", 15, 3), ("red", 40, 3)), under(FOUR, 41)) == State(level=2)


def test_without_its_severity_the_next_lower_one_is_taken() -> None:
    assert kept(FOUR, rule(("blue", 5, 2), ("red", 40, 3)), under(FOUR, 28)) == State(level=1)


def test_more_levels_keep_the_severity_there_is() -> None:
    two = rule(("yellow", 15, 3), ("red", 40, 3))
    assert kept(two, FOUR, under(two, 16)) == State(level=2)
    assert kept(two, FOUR, under(two, 41)) == State(level=4)


def test_what_no_new_level_is_for_is_ended() -> None:
    assert kept(FOUR, rule(("red", 40, 3)), under(FOUR, 16)) is None


def test_the_same_limit_of_a_higher_severity_takes_what_is_open_with_it() -> None:
    """Else what has been open all the time would have to be left and reached again, to be told."""
    assert kept(rule(("yellow", 10, 2)), rule(("red", 10, 2)), under(rule(("yellow", 10, 2)), 16)) == State(level=1)
    cover = PACK["cover.open"]
    orange = parse_rule(cover.model_dump() | {"levels": [{"severity": "orange"}]})
    assert kept(orange, cover, State(level=1)) == State(level=1)
    assert kept(cover, orange, State(level=1)) == State(level=1)


def test_what_was_about_to_be_raised_goes_on_where_it_still_would_be() -> None:
    old, new = rule(("blue", 5, 2), minutes=10), rule(("blue", 8, 2), minutes=10)
    state = under(old, 16)
    assert state.condition is Condition.pending
    assert carried(old, new, state) == state
    assert kept(old, rule(("blue", 20, 2), minutes=10), state) == NORMAL


def test_what_was_about_to_end_goes_on_where_it_still_would() -> None:
    old = rule(("blue", 5, 2))
    state = under(old, 6, 2)
    assert state.condition is Condition.clearing
    assert carried(old, rule(("blue", 6, 2)), state) == state
    assert kept(old, rule(("blue", 3, 2)), state) == State(level=1)


def test_what_a_guard_took_away_says_nothing_about_the_limits() -> None:
    tilt = parse_rule(PACK["cover.tilt"].model_dump() | {"off_delay_s": 60})
    assert isinstance(tilt, LevelRule)
    state = State(level=1)
    proof = {"value": 60.0, "field": "tilt_deg"}  # open: the rule doesn't apply, whatever the tilt
    state, _ = on_sample(comparable(tilt), state, Sample(float("-inf"), MINUTE, MINUTE, proof))
    assert state.falling
    assert carried(tilt, tilt, state) == state


def test_another_field_or_kind_continues_nothing() -> None:
    assert not continues(rule(("blue", 5, 2)), PACK["road.offline"])
    assert not continues(rule(("blue", 5, 2)), rule(("blue", 5, 2), sum_over_s=60))
    assert not continues(rule(("blue", 5, 2)), rule(("blue", 5, 2), looks="below"))
    assert continues(rule(("blue", 5, 2)), rule(("red", 7, 1), unless={"place": 1}, title="深积水", source="other"))
    assert kept(rule(("blue", 5, 2)), PACK["road.offline"], State(level=1)) is None


LEVELS = st.lists(st.sampled_from([5.0, 10.0, 15.0, 20.0, 25.0]), min_size=1, max_size=4, unique=True).flatmap(
    lambda limits: st.lists(st.sampled_from([0, 1, 2, 3]), min_size=len(limits), max_size=len(limits), unique=True).map(
        lambda ranks: [
            (("blue", "yellow", "orange", "red")[rank], limit, 2.0)
            for rank, limit in zip(sorted(ranks), sorted(limits), strict=True)
        ]
    )
)
VALUES = st.lists(st.floats(0, 30), min_size=1, max_size=8)


@given(LEVELS, VALUES, st.sampled_from([0, 2]))
def test_the_same_numbers_change_nothing(
    levels: list[tuple[str, float, float]], values: list[float], wait: int
) -> None:
    same = rule(*levels, minutes=wait)
    state = under(same, *values)
    assert carried(same, same, state) == state


@given(LEVELS, LEVELS, VALUES, st.sampled_from([0, 2]))
def test_an_open_episode_is_carried_or_ended_and_its_next_report_judged(
    old: list[tuple[str, float, float]], new: list[tuple[str, float, float]], values: list[float], wait: int
) -> None:
    before, after = rule(*old, minutes=wait), rule(*new, minutes=wait)
    state = under(before, *values)
    under_new = carried(before, after, state)
    if under_new is None:
        assert state.level
        assert min(level.rank for level in after.levels) > before.levels[state.level - 1].rank
        under_new = NORMAL
    else:
        assert bool(under_new.level) == bool(state.level)  # neither raised nor ended by being edited
    # whatever came before: held at a value for long, it is what this rule makes of that value
    for value in (0.0, 7.5, 12.0, 40.0):
        steady = under(after, *[value] * 5, state=under_new, begin=len(values))
        fresh = under(after, *[value] * 5)
        assert steady.level in (fresh.level, _within_dead_band(after, value, under_new.level))


def _within_dead_band(of: LevelRule, value: float, level: int) -> int:
    """The level that an episode at `level` stays at, since the value has not left it."""
    return max((i + 1 for i in range(level) if value >= of.levels[i].limit - of.levels[i].dead_band), default=0)

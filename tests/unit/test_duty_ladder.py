"""The ladder: when each level's turn comes, against a slow model that looks at every minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.duty.ladder import Ladder, Ladders, Steps, next_turn, turns, waiting
from alerts.judge.outcome import RuleInForce, Variant
from alerts.rules import EscalationRule, RuleError, parse_rule, shipped_pack
from alerts.rules.override import Scope, overridden, parse_override
from underfoot.alarms import Severity

T0 = datetime(2026, 7, 1, 13, 38, tzinfo=UTC)
[RULE] = [rule for rule in shipped_pack() if isinstance(rule, EscalationRule)]
CITY = Ladders(RuleInForce(RULE, 1))
LADDER = CITY.ladder(device_id="", area_code="410502", tags=())
SHIPPED = LADDER.steps


def after(minutes: float) -> datetime:
    return T0 + timedelta(minutes=minutes)


def shown(steps: Steps, changes: list[tuple[float, int]], told: tuple[int, ...] = ()) -> list[tuple[int, float]]:
    found = turns(steps, waiting(T0, [(after(at), severity) for at, severity in changes], told))
    return [(turn.level, (turn.at - T0).total_seconds() / 60) for turn in found]


@pytest.mark.parametrize(
    ("changes", "turns_come"),
    [
        ([(0, 4)], [(1, 0), (2, 5), (3, 15)]),
        ([(0, 3)], [(1, 15), (2, 60)]),
        ([(0, 2)], [(1, 120)]),
        ([(0, 1)], []),
        # It grows worse: the worse ladder begins, and nobody waits longer than on the one before.
        ([(0, 3), (40, 4)], [(1, 15), (2, 45), (3, 55)]),
        ([(0, 3), (58, 4)], [(1, 15), (2, 60), (3, 73)]),
        ([(0, 2), (119, 3)], [(1, 120), (2, 179)]),
        # It gets better: what is over does not count, what still holds goes on.
        ([(0, 4), (3, 3)], [(1, 15), (2, 60)]),
        ([(0, 4), (3, 3), (10, 4)], [(1, 10), (2, 15), (3, 25)]),
        # Better and worse again at one instant: nobody waits longer for that.
        ([(0, 3), (5, 2), (5, 3)], [(1, 15), (2, 60)]),
    ],
)
def test_shipped_ladders(changes: list[tuple[float, int]], turns_come: list[tuple[int, float]]) -> None:
    assert shown(SHIPPED, changes) == turns_come


def test_a_level_is_told_once() -> None:
    assert shown(SHIPPED, [(0, 4)], told=(1, 2)) == [(3, 15)]
    assert next_turn(Ladder(SHIPPED, {}), waiting(T0, [(T0, 4)], (1, 2, 3))) is None


@pytest.mark.parametrize(
    ("changes", "told", "told_at", "next_at"),
    [
        ([(0, 4)], (1, 2, 3), 15, 30),
        ([(0, 4)], (1, 2, 3), 30, 45),
        ([(0, 3)], (1, 2), 60, 120),
        ([(0, 2)], (1,), 120, 360),
        ([(0, 4)], (1, 2), 5, 15),  # a level's turn comes first
        ([(0, 4)], (1, 2, 3), 240, 255),
        ([(0, 3), (70, 4)], (1, 2), 60, 85),  # it grows worse: level 3 comes before level 2 is told again
        ([(0, 3), (61, 4)], (1, 2, 3), 76, 91),
        ([(0, 4), (20, 3)], (1, 2, 3), 15, 75),  # it gets better
        ([(0, 4), (20, 1)], (1, 2, 3), 15, None),
    ],
)
def test_after_the_last_level_it_is_told_again(
    changes: list[tuple[float, int]], told: tuple[int, ...], told_at: float, next_at: float | None
) -> None:
    alarm = waiting(T0, [(after(at), severity) for at, severity in changes], told, after(told_at))
    expected = None if next_at is None else after(next_at)
    assert next_turn(LADDER, alarm) == expected


def test_while_a_worse_ladders_level_is_far_the_last_of_the_other_is_told_again() -> None:
    """Growing worse never makes anybody wait longer."""
    steps = {Severity.orange: (timedelta(0),), Severity.red: (timedelta(0), timedelta(hours=10))}
    ladder = Ladder(steps, dict.fromkeys(steps, timedelta(minutes=30)))
    assert next_turn(ladder, waiting(T0, [(T0, 3), (after(5), 4)], (1,), T0)) == after(30)


def test_a_rule_of_before_is_told_again_as_the_shipped_one() -> None:
    known = {name: value for name, value in RULE.model_dump(mode="json").items() if name != "again_min"}
    rule = parse_rule(known)
    assert isinstance(rule, EscalationRule)
    assert rule.again() == RULE.again() == LADDER.again
    assert Severity.blue not in RULE.again()


def test_what_was_before_it_was_waited_for_does_not_count() -> None:
    """Raised an hour ago, acknowledged, and now unacknowledged again: the ladder begins now."""
    assert shown(SHIPPED, [(-60, 4)]) == [(1, 0), (2, 5), (3, 15)]
    assert shown(SHIPPED, [(-60, 3), (-1, 4), (2, 3)]) == [(1, 15), (2, 60)]


STEPS = st.dictionaries(
    st.sampled_from(Severity),
    st.lists(st.integers(0, 12), min_size=1, max_size=3).map(
        lambda minutes: tuple(timedelta(minutes=m) for m in sorted(minutes))
    ),
)
CHANGES = st.lists(st.tuples(st.integers(0, 15), st.integers(1, 4)), min_size=1, max_size=6)


def model(steps: Steps, changes: list[tuple[int, int]], until: int) -> dict[int, int]:
    """Level → the minute of its turn: each minute, how long has it been at least so severe without a break?"""
    told: dict[int, int] = {}
    held = dict.fromkeys(Severity, -1)
    for minute in range(until + 1):
        now = [severity for at, severity in changes if at <= minute][-1]
        for severity in Severity:
            held[severity] = held[severity] + 1 if now >= severity else -1
        for severity, minutes in steps.items():
            for level, wait in enumerate(minutes, start=1):
                if 0 <= wait.total_seconds() / 60 <= held[severity]:
                    told.setdefault(level, minute)
    return told


@given(STEPS, CHANGES)
def test_turns_are_those_of_the_model(steps: Steps, changes: list[tuple[int, int]]) -> None:
    """Ticked minute by minute, telling whoever's turn has come, as the step of the city does."""
    changes = [(0, changes[0][1]), *sorted((at, severity) for at, severity in changes[1:])]
    told: dict[int, int] = {}
    for minute in range(40):
        known = [(after(at), severity) for at, severity in changes if at <= minute]
        for turn in turns(steps, waiting(T0, known, told)):
            if turn.at <= after(minute):
                told.setdefault(turn.level, minute)
    assert told == model(steps, changes, 39)


@given(STEPS, CHANGES, st.integers(0, 39), st.integers(1, 5))
def test_growing_worse_never_makes_anybody_wait_longer(
    steps: Steps, changes: list[tuple[int, int]], at: int, more: int
) -> None:
    changes = [(0, changes[0][1]), *sorted((at, severity) for at, severity in changes[1:])]
    worse = [(minute, min(severity + more, 4) if minute >= at else severity) for minute, severity in changes]
    before, now = model(steps, changes, 39), model(steps, worse, 39)
    assert all(now.get(level, 99) <= minute for level, minute in before.items())


# the rule ------------------------------------------------------------------------------------------------------------


def test_an_override_counts_where_it_holds() -> None:
    body = {"rule_id": "duty.escalation", "scope": "area:410503", "source": "s", "after_min": {"red": [1, 2]}}
    override = parse_override(body)
    variant = Variant(override.scope, overridden(RULE, override), 2)
    off = Variant(Scope.parse("tag:试验"), RULE, 3, enabled=False)
    ladders = Ladders(RuleInForce(RULE, 1, (variant, off)))
    assert ladders.ladder(device_id="", area_code="410503001", tags=()).steps == {
        Severity.red: (timedelta(minutes=1), timedelta(minutes=2))
    }
    assert ladders.ladder(device_id="", area_code="410502", tags=()) == LADDER
    assert ladders.ladder(device_id="", area_code="410503", tags=("试验",)) == Ladder({}, {})
    assert len({ladders.stamp, CITY.stamp}) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"after_min": {"red": [5, 0]}}, "after_min"),
        ({"after_min": {"crimson": [5]}}, "crimson"),
        ({"after_min": {"red": [-1]}}, "after_min.red.0 = -1"),
        ({"again_min": {"red": 0}}, "again_min.red = 0"),
        ({"no_receipt_min": {"red": "soon"}}, "no_receipt_min.red = 'soon'"),
        ({"rule_id": "duty.other"}, "rule_id = 'duty.other'"),
    ],
)
def test_a_wrong_rule_says_which_field_and_why(change: dict[str, object], says: str) -> None:
    with pytest.raises(RuleError) as told:
        parse_rule(RULE.model_dump(mode="json") | change)
    assert says in str(told.value)

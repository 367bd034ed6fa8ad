"""Who is told and who is not, and why."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.deliver.verdict import VERDICT_LABELS, Facts, Verdict, behind, judge

MINUTES = timedelta(minutes=1)


def facts(**changes: Any) -> Facts:
    known: dict[str, Any] = {
        "to_crew": True,
        "notice": "raise",
        "over": False,
        "told": False,
        "behind": timedelta(seconds=4),
        "owed_for": timedelta(0),
    }
    return Facts(**(known | changes))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.tell),
        ({"over": True}, Verdict.already_over),
        ({"behind": 11 * MINUTES}, Verdict.wait_for_backlog),
        ({"behind": 11 * MINUTES, "owed_for": MINUTES}, Verdict.tell),
        ({"behind": 11 * MINUTES, "over": True}, Verdict.over_in_backlog),
        ({"behind": 10 * MINUTES}, Verdict.tell),
        ({"notice": "change", "told": True}, Verdict.tell),
        ({"notice": "change", "told": True, "behind": 11 * MINUTES}, Verdict.tell),
        ({"notice": "change", "behind": 11 * MINUTES}, Verdict.wait_for_backlog),
        ({"notice": "change", "told": True, "over": True}, Verdict.already_over),
        ({"notice": "clear", "told": True, "over": True}, Verdict.tell),
        ({"notice": "clear", "told": True, "over": True, "behind": 11 * MINUTES}, Verdict.tell),
        ({"notice": "clear", "over": True}, Verdict.end_of_never_told),
    ],
)
def test_crews(changes: dict[str, Any], verdict: Verdict) -> None:
    assert judge(facts(**changes)) is verdict


_facts = st.builds(
    Facts,
    to_crew=st.booleans(),
    notice=st.sampled_from(["raise", "change", "clear"]),
    over=st.booleans(),
    told=st.booleans(),
    behind=st.timedeltas(timedelta(0), timedelta(days=9)),
    owed_for=st.timedeltas(timedelta(0), timedelta(days=9)),
)


@given(_facts)
def test_the_platform_is_told_everything_and_a_told_crew_its_end(known: Facts) -> None:
    verdict = judge(known)
    if not known.to_crew or (known.notice == "clear" and known.told):
        assert verdict is Verdict.tell
    if known.to_crew and known.over and known.notice != "clear":
        assert verdict.drops
    if verdict is Verdict.wait_for_backlog:
        assert known.owed_for < timedelta(seconds=60)


def test_every_verdict_can_be_shown() -> None:
    assert set(VERDICT_LABELS) == set(Verdict)


def test_how_far_a_notice_lay_behind() -> None:
    raised: Any = {
        "notice": "raise",
        "raised_at": "2026-07-01T13:00:00+00:00",
        "raised_received_at": "2026-07-01T13:12:00Z",
        "event_at": "2026-07-01T13:00:00+00:00",
        "proof": None,
    }
    assert behind(raised) == 12 * MINUTES
    changed = raised | {
        "notice": "change",
        "event_at": "2026-07-01T13:20:00Z",
        "proof": {"received_at": "2026-07-01T13:21:00Z"},
    }
    assert behind(changed) == MINUTES
    assert behind(changed | {"proof": None}) == timedelta(0)

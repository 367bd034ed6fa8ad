"""What is said of a past that was otherwise: short enough for a phone, and never without saying what."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.deliver.verdict import Verdict, judge
from alerts.history.correction import Finding
from alerts.messages.notice import description, message
from alerts.messages.wording import LONGEST
from tests.unit.test_dispatch_verdict import facts
from tests.unit.test_messages import asset, snapshot

RAISED, CLEARED = "2026-07-01T13:20:00+00:00", "2026-07-01T14:20:00+00:00"


def corrected(verdict: Finding, raised: str | None = None, cleared: str | None = None, **changes: Any) -> Any:
    shown = {
        "verdict": verdict.value,
        "raised_at": raised,
        "cleared_at": cleared,
        "worst_severity": 3 if raised is not None else None,
    }
    facts = {"notice": "correct", "reason": "late_data", "event_at": "2026-07-01T15:00:00+00:00"}
    return snapshot(**facts | {"proof": {"label": "更正", "correction": shown}} | changes)


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (corrected(Finding.unfounded), "据迟到数据，21:38的告警不成立，无需处置"),
        (corrected(Finding.merged), "据迟到数据，21:38的告警与另一次是同一险情"),
        (corrected(Finding.changed, RAISED, CLEARED), "据迟到数据，实为21:20至22:20，最高橙级"),
        (corrected(Finding.changed, RAISED), "据迟到数据，实为21:20起未解除，最高橙级"),
        (corrected(Finding.changed, RAISED, cleared_at=CLEARED), "据迟到数据，实为21:20至22:20，最高橙级"),
        (
            corrected(Finding.changed, "2026-06-30T13:20:00+00:00", CLEARED),
            "据迟到数据，实为昨日21:20至22:20，最高橙级",
        ),
    ],
)
def test_it_says_what_was_in_truth(said: Any, what: str) -> None:
    told = message(said, "LINK")
    assert told.text.startswith("【更正】井盖打开｜")
    assert f"，{what}。查看▸" in told.text
    assert what in description(said)


def test_a_correction_that_says_nothing_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="that says none"):
        message(corrected(Finding.unfounded, proof=None), "")


@given(st.sampled_from(Finding), st.text(max_size=80), st.text(max_size=80), st.text(max_size=60))
def test_it_never_grows_past_what_a_phone_shows(finding: Finding, title: str, address: str, name: str) -> None:
    raised = RAISED if finding.stands else None
    said = corrected(finding, raised, CLEARED, title=title, asset=asset(address=address, name=name))
    assert len(message(said, "").text) <= LONGEST


def test_a_crew_that_was_never_told_is_not_told_otherwise() -> None:
    assert judge(facts(notice="correct", told=True, over=True)) is Verdict.tell
    assert judge(facts(notice="correct", told=False)) is Verdict.end_of_never_told
    assert judge(facts(notice="correct", to_crew=False)) is Verdict.tell

"""A backtest's counting and its picture; and that history says what the devices said."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.backtest.picture import picture
from alerts.backtest.result import Backtest, Day, FoundEpisode, Overlap, RecordedEpisode
from alerts.backtest.tally import overlaps, told_at
from alerts.backtest.trial import BacktestError, Trial
from alerts.history.episodes import FOREVER, Past
from alerts.history.stored import as_said, slice_for
from alerts.judge.outcome import RuleInForce
from alerts.rules import shipped_pack

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
_SVG = "{http://www.w3.org/2000/svg}"


# history ------------------------------------------------------------------------------------------------------------


@given(st.integers(-999_999, 999_999), st.integers(-4, 3))
def test_a_value_comes_back_as_it_was_said(digits: int, exponent: int) -> None:
    """The tables keep 7 digits; 0.3 is to reach a limit of 0.3."""
    said = float(f"{digits}e{exponent}")
    assert as_said(np.array([said], np.float32), "real")[0] == said


def test_what_was_not_said_stays_unsaid() -> None:
    assert np.isnan(as_said(np.array([np.nan], np.float32), "real")[0])
    assert as_said(np.array([0.0, 1.0], np.float32), "boolean").tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("per_s", "hours"), [(0.0, 24), (0.001, 24), (50_000 / 3600, 1), (1e9, 1 / 60)])
def test_slices_hold_about_as_many_reports(per_s: float, hours: float) -> None:
    assert slice_for(per_s) == pytest.approx(hours * 3_600_000_000)


# what can be tried --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted({rule.kind for rule in shipped_pack()}))
def test_what_cannot_be_tried_says_so(kind: str) -> None:
    rule = next(rule for rule in shipped_pack() if rule.kind == kind)
    trial = {"in_force": RuleInForce(rule, 1), "version": 1, "since": BEGIN, "until": BEGIN + timedelta(days=1)}
    if kind in ("level", "rate", "forecast", "mismatch", "no_data"):
        assert Trial(**trial).family.name == rule.family  # type: ignore[union-attr, arg-type]
        with pytest.raises(BacktestError, match="must be after from"):
            Trial(**trial | {"until": BEGIN})  # type: ignore[arg-type]
    else:
        with pytest.raises(BacktestError, match=f"{rule.rule_id}: a rule of kind {kind} can't be tried"):
            Trial(**trial)  # type: ignore[arg-type]


# counting -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=6), st.integers(0, 50), st.integers(0, 20))
def test_overlaps_are_found_among_spans_that_follow_each_other(
    pairs: list[tuple[int, int]], begin: int, length: int
) -> None:
    spans: list[tuple[int, int]] = []
    for first, more in sorted(pairs):
        if not spans or first > spans[-1][1]:
            spans.append((first, first + more))
    end = begin + length
    assert overlaps(spans, begin, end) == any(first <= end and last >= begin for first, last in spans)
    assert overlaps([(5, FOREVER)], begin, end) == (end >= 5)


def test_who_is_told_of_an_episode_and_when() -> None:
    past = Past(10, ((10, 1), (12, 3), (15, 2), (17, 3), (18, 4)), cleared_us=20)
    assert list(told_at(past)) == [10, 12, 17, 18, 20]
    assert list(told_at(Past(10, ((10, 1),)))) == [10]


# the picture --------------------------------------------------------------------------------------------------------


def result(episodes: int = 40, days: float = 30, **more: Any) -> Backtest:
    span = timedelta(days=days)
    listed = [
        FoundEpisode(
            device_id=f"R-{n}",
            place="铁路桥下 <东风路>",
            raised_at=BEGIN + span * n / max(episodes, 1),
            cleared_at=BEGIN + span * n / max(episodes, 1) + timedelta(hours=2) if n % 5 else None,
            severity=n % 4 + 1,
            notices=2,
        )
        for n in range(episodes)
    ]
    recorded = [
        RecordedEpisode(
            device_id="R-1",
            raised_at=BEGIN + span * n / 12,
            cleared_at=None,
            confirmed=(True, False, None)[n % 3],
            found=n % 2 == 0,
        )
        for n in range(12)
    ]
    overlap = Overlap(recorded=12, recorded_found=6, confirmed=4, confirmed_found=2, false=4, false_found=2)
    whole: dict[str, Any] = {
        "rule_id": "road.ponding",
        "title": "道路积水 & <新限值>",
        "version": None,
        "begins_at": BEGIN,
        "ends_at": BEGIN + span,
        "devices": 2000,
        "reports": 5_760_000,
        "took_s": 14.2,
        "raised": episodes,
        "by_severity": [episodes // 4] * 4,
        "notices": 2 * episodes,
        "raised_a_day": episodes / days,
        "notices_a_day": 2 * episodes / days,
        "tells": ["case", "crew"],
        "days": [Day(day=date(2026, 6, 1), raised=[0, 0, 0, 1], notices=2)],
        "of_this_rule": overlap,
        "of_other_rules": overlap,
        "new": 3,
        "episodes": listed,
        "recorded": recorded,
    }
    return Backtest(**whole | more)


def _bars(tree: ET.Element) -> list[ET.Element]:
    return [one for one in tree.iter(f"{_SVG}rect") if float(one.attrib.get("y", 0)) > 140]


@pytest.mark.parametrize("days", [1 / 24, 1, 3, 30, 92, 365])
def test_the_picture_shows_every_alarm_once(days: float) -> None:
    tree = ET.fromstring(picture(result(days=days)))  # noqa: S314 - our own
    tall = [float(bar.attrib["height"]) for bar in _bars(tree)]
    scale = [int(label.text or 0) for label in tree.iter(f"{_SVG}text") if label.attrib["text-anchor"] == "end"]
    assert sum(tall) / 190 * max(scale[:3]) == pytest.approx(40, abs=0.5)
    texts = [label.text or "" for label in tree.iter(f"{_SVG}text")]
    assert any("道路积水 & <新限值>（road.ponding，未入库）历史回测" in text for text in texts)
    assert "属实 4，本次也告警 2" in texts
    for mark in tree.iter(f"{_SVG}circle"):
        assert 64 <= float(mark.attrib["cx"]) <= 1176


def test_a_picture_of_nothing_is_one() -> None:
    shown = picture(result(episodes=0, recorded=[], by_severity=[0] * 4))
    assert ET.fromstring(shown).tag == f"{_SVG}svg"  # noqa: S314 - our own
    assert "告警 0 次" in shown


def test_bars_are_as_high_as_their_numbers() -> None:
    episodes = [
        FoundEpisode(
            device_id="R-1", place="", raised_at=BEGIN + timedelta(hours=n), cleared_at=None, severity=4, notices=1
        )
        for n in (1, 1, 1, 25)
    ]
    tree = ET.fromstring(picture(result(days=2, episodes=0).model_copy(update={"episodes": episodes})))  # noqa: S314
    bars = [bar for bar in _bars(tree) if bar.attrib["fill"] == "#dc2626"]
    assert sorted(round(float(bar.attrib["height"])) for bar in bars) == [63, 190]


def test_what_is_left_off_is_counted() -> None:
    whole = result(episodes=40)
    assert whole.cut(100) is whole
    cut = whole.cut(10)
    assert (len(cut.episodes), len(cut.recorded), cut.left_off, cut.raised) == (10, 10, 32, 40)

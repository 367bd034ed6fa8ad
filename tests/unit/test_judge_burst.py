"""A power cut or a storm wakes everything: each device of a city reports within minutes, and none is missed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import RuleInForce, Transition
from alerts.rules import shipped_pack
from tests.unit.batches import SECOND, START
from underfoot.families import FAMILIES
from underfoot.reports import NO_SEQ, Reports

COVER = FAMILIES["cover"]
_TOGETHER = 20_000
_EVERY = 100


def burst(slots: NDArray[np.int32], at_us: int, *, opened: bool) -> Reports:
    """Each of these covers says once how it is; one in a hundred is open, if `opened`."""
    count = len(slots)
    columns = {name: np.full(count, np.nan) for name in COVER.fields}
    columns["open"] = ((slots % _EVERY == 0) & opened).astype(np.float64)
    columns["tilt_deg"] = np.full(count, 1.0)
    columns["battery_pct"] = np.full(count, 80.0)
    return Reports(
        family=COVER,
        slot=slots,
        device_key=slots + 1,
        ts_us=np.full(count, at_us, np.int64) + slots,
        received_us=np.full(count, at_us, np.int64) + slots,
        digest=np.zeros(count, np.int32),
        substituted=np.zeros(count, np.bool_),
        quality=np.zeros(count, np.int16),
        columns=columns,
        values=[{} for _ in range(count)],
        seq=np.full(count, NO_SEQ),
        extra=[None] * count,
    )


def all_report(evaluator: Evaluator, devices: int, at_us: int, *, opened: bool) -> list[Transition]:
    transitions = []
    for first in range(0, devices, _TOGETHER):
        slots = np.arange(first, min(first + _TOGETHER, devices), dtype=np.int32)
        made = burst(slots, at_us, opened=opened)
        outcome = evaluator.judge(made)
        evaluator.raise_late(outcome)
        evaluator.apply(outcome, made)
        assert not outcome.failing
        transitions += outcome.transitions
    return transitions


@pytest.mark.parametrize("devices", [40_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_everybody_reports_at_once_and_every_open_cover_is_raised_once(devices: int) -> None:
    evaluator = Evaluator(COVER, [RuleInForce(rule, 1) for rule in shipped_pack()])
    evaluator.add_devices(np.arange(1, devices + 1, dtype=np.int32))
    expected = set(range(1, devices + 1, _EVERY))
    assert not all_report(evaluator, devices, START, opened=False)
    raised = all_report(evaluator, devices, START + 60 * SECOND, opened=True)
    assert {t.rule.rule.rule_id for t in raised} == {"cover.open"}
    assert sorted(t.subject_key for t in raised) == sorted(expected)
    assert not all_report(evaluator, devices, START + 120 * SECOND, opened=True), (
        "raised once, however often they say so"
    )
    ended = all_report(evaluator, devices, START + 180 * SECOND, opened=False)
    assert sorted(t.subject_key for t in ended) == sorted(expected)
    assert all(t.severity == 0 for t in ended)

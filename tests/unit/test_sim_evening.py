"""The evening storm against the shipped rules: exactly the scripted alarms come of the fleet's reports, no other."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import orjson
import pytest

from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import Outcome, RuleInForce
from alerts.rules import (
    ForecastRule,
    JudgedRule,
    LateHazardRule,
    LevelRule,
    MismatchRule,
    NoDataRule,
    RateRule,
    Rule,
    SlopeRule,
    shipped_pack,
)
from simulators.city import City
from simulators.fleet import Fleet
from simulators.hazards import Rehearsal, load_rehearsal
from simulators.message import Due, clock_from, epoch_ms
from simulators.plan import Plan, lay_out
from simulators.roster import RosterDevice, roster_of
from underfoot.alarms import Condition, Severity
from underfoot.families import FAMILIES, Family
from underfoot.reports import NO_SEQ, Reports

START_MS = 1_750_000_000_000


def rules_at(pace: float) -> list[Rule]:
    """The shipped rules with every delay `pace` times shorter."""
    scaled: list[Rule] = []
    for rule in shipped_pack():
        if isinstance(rule, JudgedRule):
            levels = tuple(level.model_copy(update={"on_delay_s": level.on_delay_s / pace}) for level in rule.levels)
            changes = {"levels": levels, "off_delay_s": rule.off_delay_s / pace, "calm_s": rule.calms_after_s / pace}
            if isinstance(rule, LevelRule) and rule.sum_over_s is not None:
                changes["sum_over_s"] = rule.sum_over_s / pace
            if isinstance(rule, SlopeRule):
                changes |= {"over_s": rule.over_s / pace, "at_least_s": rule.at_least_s / pace}
            if isinstance(rule, RateRule):
                changes["per_s"] = rule.per_s / pace
            if isinstance(rule, ForecastRule):
                changes["noise_per_min"] = rule.noise_per_min * pace
                changes["levels"] = tuple(
                    level.model_copy(update={"limit": level.limit / pace, "dead_band": level.dead_band / pace})
                    for level in levels
                )
            scaled.append(rule.model_copy(update=changes))
        elif isinstance(rule, NoDataRule):
            scaled.append(rule.model_copy(update={"grace_s": rule.grace_s / pace}))
        elif isinstance(rule, LateHazardRule):
            scaled.append(rule)
    return scaled


class Engine:
    """The engine's judgement without its database: what each (device, rule) came to."""

    def __init__(self, roster: list[RosterDevice], pace: float) -> None:
        in_force = [RuleInForce(rule, 1) for rule in rules_at(pace)]
        self.of_family: dict[str, list[RosterDevice]] = defaultdict(list)
        for device in roster:
            self.of_family[device.family].append(device)
        self.evaluators = {name: Evaluator(FAMILIES[name], in_force) for name in self.of_family}
        self.slots: dict[str, int] = {}
        for name, devices in self.of_family.items():
            self.evaluators[name].add_devices(np.arange(len(devices), dtype=np.int32))
            self.evaluators[name].interval_s[:] = [device.interval_s for device in devices]
            self.slots.update({device.device_id: slot for slot, device in enumerate(devices)})
        self.worst: dict[tuple[str, str], int] = {}
        self.open: set[tuple[str, str]] = set()
        self.heard_us: dict[str, int] = {}

    def run(self, messages: Iterable[Due], seconds: float, batch_s: float) -> None:
        blocks: dict[int, list[Due]] = defaultdict(list)
        for due in messages:
            blocks[int(due.at_s / batch_s)].append(due)
        for block in range(math.ceil(seconds / batch_s)):
            until_us = START_MS * 1000 + int((block + 1) * batch_s * 1e6)
            self._judge(blocks.get(block, []))
            self._judge_silence(until_us)

    def _judge(self, messages: list[Due]) -> None:
        gathered: dict[str, list[tuple[str, dict[str, Any], int]]] = defaultdict(list)
        for due in messages:
            report = orjson.loads(due.message.payload)
            device_id = due.message.device_id
            received_us = START_MS * 1000 + int(due.at_s * 1e6) + 5_000
            gathered[due.message.topic.decode().split("/")[3]].append((device_id, report, received_us))
            self.heard_us[device_id] = received_us
        for name, rows in gathered.items():
            reports = _reports(FAMILIES[name], [(self.slots[device_id], report, us) for device_id, report, us in rows])
            outcome = self.evaluators[name].judge(reports)
            assert not outcome.late_rows
            self._take(name, outcome, reports)

    def _judge_silence(self, until_us: int) -> None:
        for name, evaluator in self.evaluators.items():
            self._take(name, evaluator.judge_silence(until_us), None)
            assert evaluator.silent is not None
            allowed_us = evaluator.silent.allowed_us(evaluator.interval_s).tolist()
            for device in self.of_family[name]:
                heard_us = self.heard_us.get(device.device_id)
                if heard_us is not None and until_us - heard_us > allowed_us[self.slots[device.device_id]]:
                    outcome = evaluator.judge_offline(self.slots[device.device_id], heard_us, until_us)
                    self._take(name, outcome, None)

    def _take(self, name: str, outcome: Outcome, reports: Reports | None) -> None:
        self.evaluators[name].apply(outcome, reports)
        for change in outcome.transitions:
            key = (self.of_family[name][change.subject_key].device_id, change.rule.rule.rule_id)
            if change.after in (Condition.active, Condition.clearing):
                self.worst[key] = max(self.worst.get(key, 0), change.severity)
                self.open.add(key)
            else:
                self.open.discard(key)

    @property
    def raised(self) -> dict[tuple[str, str], str]:
        return {key: Severity(severity).name for key, severity in self.worst.items()}


def _reports(family: Family, rows: list[tuple[int, dict[str, Any], int]]) -> Reports:
    def ts_us(report: dict[str, Any]) -> int:
        return (epoch_ms(report["ts"]) if isinstance(report["ts"], str) else report["ts"]) * 1000

    values = [family.model.model_validate(report["values"]).__dict__ for _, report, _ in rows]
    slot = np.array([slot for slot, _, _ in rows], np.int32)
    return Reports(
        family=family,
        slot=slot,
        device_key=slot,
        ts_us=np.array([ts_us(report) for _, report, _ in rows], np.int64),
        received_us=np.array([received_us for _, _, received_us in rows], np.int64),
        digest=np.zeros(len(rows), np.int32),
        substituted=np.zeros(len(rows), np.bool_),
        quality=np.zeros(len(rows), np.int16),
        columns={name: np.array([value[name] for value in values], np.float64) for name in family.fields},
        values=values,
        seq=np.full(len(rows), NO_SEQ, np.int64),
        extra=[None] * len(rows),
    )


def evening(seconds: float, pace: float, ledger_pace: float, seed: int, rate: float | None) -> tuple[Plan, Engine]:
    roster = roster_of(City(devices=200, seed=seed, pace=ledger_pace).rows())
    plan = lay_out(load_rehearsal("rehearsal"), roster, seconds=seconds, seed=seed, pace=pace)
    engine = Engine(roster, pace)
    engine.run(Fleet(roster, plan, seed=seed, clock=clock_from(START_MS), rate=rate).messages(), seconds, seconds / 240)
    return plan, engine


@pytest.mark.parametrize(
    ("seconds", "pace", "ledger_pace", "seed", "rate"),
    [
        (60, 1, 300, 1, 120),  # a minute's demo on the shipped rules
        (60, 300, 300, 2, 120),  # ... on rules as much faster as the evening
        (60, 300, 300, 3, None),
        (300, 60, 60, 4, 40),
        (600, 30, 30, 5, 20),
        (600, 1, 30, 6, 20),
    ],
)
def test_exactly_the_scripted_alarms_come(
    seconds: float, pace: float, ledger_pace: float, seed: int, rate: float | None
) -> None:
    plan, engine = evening(seconds, pace, ledger_pace, seed, rate)
    expected = {(alarm.device_id, alarm.rule_id): alarm.severity for alarm in plan.expected}
    assert not plan.left_out
    assert len(expected) == len(plan.expected)  # each on a (device, rule) of its own
    possible = {(alarm.device_id, alarm.rule_id) for alarm in plan.possible}
    assert {key: severity for key, severity in engine.raised.items() if key not in possible} == expected
    assert engine.open - possible == {(alarm.device_id, alarm.rule_id) for alarm in plan.expected if not alarm.clears}


def test_at_the_evenings_own_pace_everything_is_over_before_the_end() -> None:
    plan, engine = evening(60, 300, 300, 7, 120)
    assert all(alarm.clears for alarm in plan.expected)
    assert not engine.open


def test_at_the_evenings_own_pace_is_seen_how_fast_it_comes() -> None:
    plan, engine = evening(60, 300, 300, 7, 120)
    foreseen = {alarm.rule_id for alarm in plan.possible if (alarm.device_id, alarm.rule_id) in engine.raised}
    # A surcharge of half an hour stands before pipe.overflow_forecast believes that it goes on.
    assert foreseen == {"road.rise", "cover.overflow_forecast", "pipe.full_forecast", "pump.no_drop"}


def test_a_quiet_city_raises_nothing() -> None:
    roster = roster_of(City(devices=200, seed=11).rows())
    seconds = 2 * 86_400.0
    engine = Engine(roster, 1)
    engine.run(Fleet(roster, Plan(seconds), seed=11, clock=clock_from(START_MS)).messages(), seconds, 600)
    assert engine.raised == {}
    assert len(engine.heard_us) == len(roster)


def test_what_the_scenario_says_of_the_rules_is_what_the_shipped_rules_say() -> None:
    scenario = load_rehearsal("rehearsal")
    shipped = {rule.rule_id: rule for rule in shipped_pack()}
    for hazard in scenario.hazards:
        for expected in hazard.expect:
            rule = shipped[expected.rule]
            if isinstance(rule, NoDataRule):
                said = (expected.intervals, expected.raise_after_s, expected.severity)
                assert said == (rule.intervals, rule.grace_s, rule.severity)
                continue
            assert isinstance(rule, JudgedRule)
            level = next(level for level in rule.levels if level.severity == expected.severity)
            assert expected.raise_after_s == level.on_delay_s, expected.rule
            assert expected.reports == level.samples, expected.rule
            assert expected.clear_after_s == rule.off_delay_s, expected.rule
            assert expected.clear_reports == rule.off_samples, expected.rule
            assert expected.sum_over_s == getattr(rule, "sum_over_s", None), expected.rule
            if getattr(rule, "equals", None) is None:
                first = rule.levels[0]
                unit = rule.rated / 100 if isinstance(rule, MismatchRule) else 1.0
                leaves = unit * (first.limit - rule.sign * first.dead_band)
                assert expected.reaches == pytest.approx(unit * level.limit), expected.rule
                assert expected.leaves == pytest.approx(leaves), expected.rule
                assert expected.looks_below == (rule.looks == "below")


def test_every_family_is_befallen_by_something() -> None:
    scenario: Rehearsal = load_rehearsal("rehearsal")
    assert {hazard.pick.family for hazard in scenario.hazards} == FAMILIES.keys()

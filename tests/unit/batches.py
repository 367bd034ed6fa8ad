"""Batches of reports for the tests of what judges and packs them, without the path that makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import Flapping, Outcome, RuleInForce, Transition
from alerts.rules import parse_rule
from underfoot.families import FAMILIES, Family
from underfoot.reports import NO_SEQ, Reports

SECOND = 1_000_000
START = 1_780_000_000 * SECOND

LAMP_OUT: dict[str, Any] = {
    "rule_id": "lamp.out",
    "kind": "mismatch",
    "commanded": {"on": True},
    "field": "current_a",
    "rated": 0.5,
    "looks": "below",
    "levels": [{"severity": "yellow", "limit": 20, "dead_band": 5, "samples": 3}],
}


@dataclass(frozen=True)
class One:
    """One report. Seconds count from START; received at once, unless it says otherwise."""

    slot: int
    at_s: float
    values: dict[str, Any]
    received_s: float | None = None
    substituted: bool = False
    seq: int | None = None
    extra: bytes | None = None
    digest: int = 0
    quality: int = 0

    @property
    def ts_us(self) -> int:
        return START + round(self.at_s * SECOND)

    @property
    def received_us(self) -> int:
        return self.ts_us if self.received_s is None else START + round(self.received_s * SECOND)


def reports(family: Family, batch: Sequence[One], device_keys: Sequence[int] | None = None) -> Reports:
    """The batch by column, as `validate` makes it: NaN where a report does not say."""
    slot = np.array([one.slot for one in batch], np.int32)
    keys = np.array(device_keys if device_keys is not None else range(100, 100 + 1000))
    return Reports(
        family=family,
        slot=slot,
        device_key=keys[slot].astype(np.int32),
        ts_us=np.array([one.ts_us for one in batch], np.int64),
        received_us=np.array([one.received_us for one in batch], np.int64),
        digest=np.array([one.digest for one in batch], np.int32),
        substituted=np.array([one.substituted for one in batch], np.bool_),
        quality=np.array([one.quality for one in batch], np.int16),
        columns={name: np.array([one.values.get(name) for one in batch], np.float64) for name in family.fields},
        values=[{name: one.values.get(name) for name in family.fields} for one in batch],
        seq=np.array([NO_SEQ if one.seq is None else one.seq for one in batch], np.int64),
        extra=[one.extra for one in batch],
    )


@dataclass
class Bench:
    """An evaluator with some devices (device_key 100 + slot), judged batch by batch as the worker does."""

    family: Family
    evaluator: Evaluator
    transitions: list[Transition] = field(default_factory=list)
    flapping: list[Flapping] = field(default_factory=list)

    @classmethod
    def of(cls, family: str, *bodies: dict[str, Any], devices: int = 3) -> Bench:
        defaults = {"title": "题", "source": "a test", "family": family}
        in_force = [RuleInForce(parse_rule(defaults | body), 1) for body in bodies]
        evaluator = Evaluator(FAMILIES[family], in_force)
        evaluator.add_devices(np.arange(100, 100 + devices, dtype=np.int32))
        evaluator.interval_s[:] = 100
        return cls(FAMILIES[family], evaluator)

    def judge(self, *batch: One) -> list[Transition]:
        """What one batch changes; taken over, as if committed."""
        made = reports(self.family, batch)
        outcome = self.evaluator.judge(made)
        self.evaluator.raise_late(outcome)
        self._take_over(outcome, made)
        return outcome.transitions

    def silence(self, until_s: float) -> list[Transition]:
        outcome = self.evaluator.judge_silence(START + round(until_s * SECOND))
        self._take_over(outcome, None)
        return outcome.transitions

    def offline(self, slot: int, since_s: float, until_s: float) -> list[Transition]:
        outcome = self.evaluator.judge_offline(slot, START + round(since_s * SECOND), START + round(until_s * SECOND))
        self._take_over(outcome, None)
        return outcome.transitions

    def allowed_us(self, slot: int) -> int:
        assert self.evaluator.silent is not None
        return int(self.evaluator.silent.allowed_us(self.evaluator.interval_s)[slot])

    def silent_slots(self) -> list[int]:
        return self.evaluator.silent.slots if self.evaluator.silent is not None else []

    def asked(self) -> dict[int, frozenset[str]]:
        return self.evaluator.late.asked if self.evaluator.late is not None else {}

    def anything_on_its_way(self) -> bool:
        return any(state.level or not state.settled for _, _, state in self.evaluator.unsettled())

    def _take_over(self, outcome: Outcome, made: Reports | None) -> None:
        self.evaluator.apply(outcome, made)
        self.transitions += outcome.transitions
        self.flapping += outcome.flapping

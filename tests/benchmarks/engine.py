"""What judging costs by itself: the whole shipped pack over batches of every family, state included, and the sweep for
devices that have fallen silent. In one thread, in memory; reports as fleets send them, few of them in alarm.
"""

from __future__ import annotations

import gc
import time

import numpy as np
from numpy.typing import NDArray

from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import RuleInForce
from alerts.rules import shipped_pack
from ingest.offline import overdue
from ingest.registry import FamilyDevices
from simulators.city import City
from simulators.roster import RosterDevice, roster_of
from simulators.stage import ordinary_values
from tests.benchmarks.figures import Figure, median
from underfoot.families import FAMILIES, Family
from underfoot.reports import NO_SEQ, Reports

BATCH = 2_000
BATCHES = 150
WARM = 50
FEW, MANY = 1_000, 1_000_000
SECOND = 1_000_000
BEGAN_US = 1_795_000_000 * SECOND
IN_ALARM = 0.01
"""So many of the reports are of devices that have something open."""
_TOGETHER = 50_000


def figures() -> list[Figure]:
    gc.collect()
    gc.freeze()
    readings, plain = _readings()
    few_us, many_us = _costs()
    return [
        Figure("alerts.readings_per_s", readings, "readings/s", "numpy_threshold", plain),
        Figure("alerts.cost_1m_vs_1k", many_us, "µs a report", "cost_1k", few_us),
        _sweep(),
    ]


def _readings() -> tuple[float, float]:
    """Readings a second, of a city's families in their shares: through the whole pack, and through one threshold."""
    roster = roster_of(City(devices=20_000, bare_covers_per_cover=0).rows())
    spent = plain = 0.0
    readings = 0
    for name, family in FAMILIES.items():
        devices = [device for device in roster if device.family == name]
        evaluator = _evaluator(family, len(devices))
        batches = _Batches(family, devices, len(devices))
        share = max(round(BATCHES * len(devices) / len(roster)), 3)
        for number in range(share):
            reports = batches.make(number)
            readings += sum(int((~np.isnan(column)).sum()) for column in reports.columns.values())
            spent += _judged(evaluator, reports)
            began = time.thread_time()
            for column in reports.columns.values():
                np.flatnonzero(column > 1e9)
            plain += time.thread_time() - began
    return readings / spent, readings / plain


def _costs() -> tuple[float, float]:
    """µs a report of covers among few devices and among many; in turns, so that both see the same machine. The reports
    are alike: as many of each device in a batch, and as many in alarm; each device has been heard before."""
    family = FAMILIES["cover"]
    roster = [d for d in roster_of(City(devices=5_000, bare_covers_per_cover=0).rows()) if d.family == "cover"]
    evaluators = [_evaluator(family, size) for size in (FEW, MANY)]
    batches = [_Batches(family, roster, size) for size in (FEW, MANY)]
    for evaluator, made in zip(evaluators, batches, strict=True):
        for first in range(0, len(evaluator), _TOGETHER):
            _judged(evaluator, made.of(np.arange(first, min(first + _TOGETHER, len(evaluator)), dtype=np.int32), -2))
    spent: list[list[float]] = [[], []]
    for number in range(WARM + BATCHES):
        for place in (0, 1):
            cost = _judged(evaluators[place], batches[place].make(number)) / BATCH * 1e6
            if number >= WARM:
                spent[place].append(cost)
    return median(spent[0]), median(spent[1])


def _judged(evaluator: Evaluator, reports: Reports) -> float:
    began = time.thread_time()
    outcome = evaluator.judge(reports)
    evaluator.raise_late(outcome)
    evaluator.apply(outcome, reports)
    return time.thread_time() - began


def _sweep() -> Figure:
    """A million devices, a hundredth of them silent for too long; beside one comparison of their last-seen times."""
    devices = FamilyDevices(FAMILIES["lamp"], _evaluator(FAMILIES["lamp"], MANY))
    random = np.random.default_rng(1)
    now_us = BEGAN_US + 86_400 * SECOND
    heard_us = now_us - random.integers(0, 900 * SECOND, MANY)
    heard_us[random.integers(0, MANY, MANY // 100)] -= 7_200 * SECOND
    devices.evaluator.last_received_us[:] = heard_us
    devices.district = np.zeros(MANY, np.int32)
    devices.registered_us = np.full(MANY, BEGAN_US)
    devices.in_service = np.ones(MANY, np.bool_)
    devices.gateway_key = np.zeros(MANY, np.int32)
    ours, plain = [], []
    for _ in range(9):
        began = time.perf_counter()
        found = overdue(devices, now_us, {}, BEGAN_US)
        ours.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        np.flatnonzero(devices.evaluator.last_received_us < now_us - 3_000 * SECOND)
        plain.append((time.perf_counter() - began) * 1000)
    assert MANY // 120 < len(found) <= MANY // 100
    return Figure("alerts.offline_sweep_1m_ms", median(ours), "ms", "numpy_comparison", median(plain))


def _evaluator(family: Family, devices: int) -> Evaluator:
    evaluator = Evaluator(family, [RuleInForce(rule, 1) for rule in shipped_pack()])
    evaluator.add_devices(np.arange(1, devices + 1, dtype=np.int32))
    for values in evaluator.baseline.values():
        values[:] = 0.5
    return evaluator


class _Batches:
    """Batches of a family's reports: two of each of its devices, which are drawn by chance; but some are always there,
    and always in alarm."""

    def __init__(self, family: Family, roster: list[RosterDevice], devices: int) -> None:
        self._family = family
        self._random = np.random.default_rng(2)
        self._devices = devices
        self._in_alarm = min(int(IN_ALARM * BATCH / 2), devices - 1)
        said = ordinary_values(roster, 1)
        self._said = [one | self._hazard() for one in said[: self._in_alarm]] + said
        self._columns = {
            name: np.array([one.get(name, np.nan) for one in self._said], np.float64) for name in family.fields
        }

    def _hazard(self) -> dict[str, float]:
        hazards = {"tilt_deg": 70.0, "leakage_ma": 200.0, "depth_cm": 70.0, "forebay_level_m": 9.0}
        return {name: value for name, value in hazards.items() if name in self._family.fields}

    def make(self, number: int) -> Reports:
        others = min(BATCH // 2, self._devices) - self._in_alarm
        quiet = self._random.choice(self._devices - self._in_alarm, others, replace=False) + self._in_alarm
        devices = np.append(np.arange(self._in_alarm), quiet)
        return self.of(self._random.permutation(np.tile(devices, 2)).astype(np.int32), number)

    def of(self, slot: NDArray[np.int32], number: int) -> Reports:
        """A report of each of these, in that order."""
        size = len(slot)
        said = np.where(slot < self._in_alarm, slot, self._in_alarm + slot % (len(self._said) - self._in_alarm))
        at_us = BEGAN_US + number * 60 * SECOND + np.arange(size) * 1000
        return Reports(
            family=self._family,
            slot=slot,
            device_key=slot + 1,
            ts_us=at_us,
            received_us=at_us + 5000,
            digest=np.zeros(size, np.int32),
            substituted=np.zeros(size, np.bool_),
            quality=np.zeros(size, np.int16),
            columns={name: column[said] for name, column in self._columns.items()},
            values=[self._said[row] for row in said.tolist()],
            seq=np.full(size, NO_SEQ, np.int64),
            extra=[None] * size,
        )


if __name__ == "__main__":
    from tests.benchmarks.figures import show

    show(figures())

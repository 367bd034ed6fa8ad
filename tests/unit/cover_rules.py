"""Rules on covers for the tests of what judges them, and what they say, in short."""

from __future__ import annotations

from typing import Any

from alerts.judge.outcome import Transition
from underfoot.alarms import Reason

TILT: dict[str, Any] = {
    "rule_id": "cover.tilt",
    "kind": "level",
    "field": "tilt_deg",
    "against_baseline": True,
    "unless": {"open": True},
    "levels": [
        {"severity": "yellow", "limit": 10, "dead_band": 2, "on_delay_s": 3, "samples": 2},
        {"severity": "orange", "limit": 15, "dead_band": 2, "on_delay_s": 3},
        {"severity": "red", "limit": 30, "dead_band": 5},
    ],
    "off_samples": 2,
}
WATER: dict[str, Any] = {
    "rule_id": "cover.overflow",
    "kind": "level",
    "field": "water_below_rim_m",
    "looks": "below",
    "levels": [{"severity": "blue", "limit": 1.0, "dead_band": 0.1}, {"severity": "red", "limit": 0.0}],
    "off_delay_s": 5,
}
OPEN: dict[str, Any] = {
    "rule_id": "cover.open",
    "kind": "level",
    "field": "open",
    "equals": True,
    "proof": "silence",
    "levels": [{"severity": "red"}],
}
GUARDED: dict[str, Any] = {
    "rule_id": "cover.shaken",
    "kind": "level",
    "field": "tilt_deg",
    "when": {"vibration": True},
    "levels": [{"severity": "yellow", "limit": 12, "samples": 2}],
}
LATE: dict[str, Any] = {"rule_id": "cover.late_hazard", "kind": "late_hazard", "severity": "blue"}
OFFLINE: dict[str, Any] = {"rule_id": "cover.offline", "kind": "no_data", "intervals": 1.5, "severity": "blue"}


def words(transitions: list[Transition]) -> list[tuple[str, Reason, int]]:
    return [(t.rule.rule.rule_id, t.reason, t.severity) for t in transitions]

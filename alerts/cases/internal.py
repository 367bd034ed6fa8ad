"""Internal: what is our own matter (内部事项) and never leaves for the city's platform, whatever a rule says.

A device that is silent, its battery, its signal, a gateway that is down, a gauge that is stuck, a failure of Underfoot
itself: the city's platform can do nothing about it, and each would be a false case in the city's 考核.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from underfoot.families.power import PoweredValues

KINDS = frozenset({"no_data", "gateway_outage", "stuck", "system", "weather", "working_time", "escalation", "health"})
"""Kinds of rules that are about our devices, or about ourselves."""

FIELDS = frozenset(PoweredValues.model_fields) - {"temperature_c"}
"""What a device says of itself rather than of what it watches. (A hot manhole is no device's matter.)"""


def is_internal(rule: Mapping[str, Any]) -> bool:
    """Whether alarms of this rule (its body) are our own matter."""
    if rule.get("kind") in KINDS:
        return True
    looked_at = list(_fields(rule))
    return bool(looked_at) and all(name in FIELDS for name in looked_at)


def is_internal_proof(proof: Mapping[str, Any] | None) -> bool:
    """Whether what proved an alarm is: a late report of a weak battery, say."""
    return proof is not None and proof.get("field") in FIELDS


def _fields(rule: Mapping[str, Any]) -> Iterable[str]:
    if rule.get("field"):
        yield rule["field"]
    inputs = rule.get("inputs")
    if isinstance(inputs, Mapping):
        yield from (one["field"] for one in inputs.values() if isinstance(one, Mapping) and one.get("field"))

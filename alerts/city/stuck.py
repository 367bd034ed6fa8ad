"""Stuck: a gauge that stands still while its neighbours, or the rain, move; by its reports of some hours."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from alerts.city.devices import Device, Places, Span
from alerts.city.memory import Judgement, Remembering, one_level
from alerts.city.said import Said
from alerts.judge.outcome import RuleInForce
from alerts.rules.expression import Truth
from alerts.rules.stuck import StuckRule
from underfoot.alarms import SubjectKind
from underfoot.families import FAMILIES

# pure ---------------------------------------------------------------------------------------------------------------


def stands_still(span: Span | None, rule: StuckRule) -> Truth:
    """Unknown where too few reports, or too short a time, speak for it."""
    if span is None:
        return None
    if span.most - span.least >= rule.still_below:
        return False
    return True if span.said >= rule.samples and span.covers(rule.span_s) else None


def moved(span: Span | None, rule: StuckRule) -> Truth:
    if span is None:
        return None
    if span.most - span.least >= rule.moved_by:
        return True
    return False if span.covers(rule.span_s) else None


def is_stuck(own: Truth, neighbours: Collection[Truth], rained: bool, rule: StuckRule) -> Truth:
    """Who stands still among what stands still, or is unknown, may be stuck or not."""
    if own is not True:
        return own
    movers = sum(one is True for one in neighbours)
    return True if movers >= rule.neighbours or (rained and rule.rain_moves_it) else None


# on what is committed -----------------------------------------------------------------------------------------------


class Stuck:
    def __init__(self, places: Places) -> None:
        self._places = places

    def __call__(self, said: Said, in_force: RuleInForce, memory: Remembering, now: datetime) -> Iterator[Judgement]:
        rule = in_force.rule
        assert isinstance(rule, StuckRule)  # noqa: S101 - its step asks for this kind
        places = self._places.of(said.connection, rule.family)
        by_rule: dict[StuckRule, tuple[RuleInForce, list[Device]]] = {}
        for device in said.asked(places.devices):
            counting = device.rule_for(in_force)
            if counting is not None and isinstance(counting.rule, StuckRule):
                by_rule.setdefault(counting.rule, (counting, []))[1].append(device)
        until = said.caught_up()
        for own, (counting, devices) in by_rule.items():
            since = now - timedelta(seconds=own.max_age_s)
            everybody = [device.device_key for device in places.devices]
            family = FAMILIES[own.family]
            spans = said.spans(family, own.field, own.span_s, everybody, since)
            rained = said.rained(now - timedelta(seconds=own.span_s))
            for device in devices:
                span = spans.get(device.device_key)
                still = stands_still(span, own)
                if span is None or still is None:
                    continue
                near = places.within(device.lon, device.lat, own.within_m) if still else []
                others = [moved(spans.get(one.device_key), own) for one in near if one != device]
                truth = is_stuck(still, others, device.district in rained, own)
                yield Judgement(
                    subject=(SubjectKind.device, device.device_key),
                    rule=counting,
                    limits=one_level(own.severity),
                    value=None if truth is None else float(truth),
                    seen=(span.ts_us,),
                    at_us=span.ts_us,
                    received_us=span.received_us,
                    proof=_proof(own, span, sum(one is True for one in others), device.district in rained),
                    caught_up_us=until.get(device.shard),
                )


def _proof(rule: StuckRule, span: Span, movers: int, rained: bool) -> dict[str, Any]:
    return {
        "ts_us": span.ts_us,
        "received_us": span.received_us,
        "field": rule.field,
        "label": rule.column.label,
        "unit": rule.column.unit,
        "value": round(span.last, 4),
        "least": round(span.least, 4),
        "most": round(span.most, 4),
        "reports": span.said,
        "neighbours_moved": movers,
        "rained": rained,
    }

"""Composite: an expression over a device's own values, those of others at hand, and the weather. Three-valued.

What is too old, or not there, is unknown: it neither raises nor ends anything unless the rest decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg import sql

from alerts.city.devices import Device, Newest, Places, Span
from alerts.city.memory import Judgement, Remembering, one_level_of
from alerts.city.said import Said
from alerts.city.weather import UNKNOWN, Now
from alerts.judge.outcome import RuleInForce
from alerts.rules.composite import CompositeRule, Input
from alerts.rules.expression import Truth, any_of
from alerts.rules.weather import Weather
from underfoot.alarms import SubjectKind
from underfoot.families import FAMILIES
from underfoot.reports import microseconds


@dataclass(frozen=True, slots=True)
class Asked:
    """What an input says of one device: its truth, the event times it rests on, and what it read."""

    truth: Truth
    seen: tuple[Any, ...] = ()
    at_us: int = 0
    received_us: int = 0
    value: float | bool | None = None


# pure ---------------------------------------------------------------------------------------------------------------


def of_value(one: Input, value: Any) -> Truth:
    """A value against its test; None is unknown."""
    if value is None:
        return None
    match one.test:
        case "above":
            return bool(value >= one.above)
        case "below":
            return bool(value <= one.below)
        case _:
            return bool(value == one.equals)


def of_span(one: Input, span: Span | None) -> Truth:
    """How a value changed; unknown where its reports don't cover the time that is asked about."""
    if span is None or one.over_s is None or not span.covers(one.over_s):
        return None
    if one.rises_by is not None:
        return span.last - span.first >= one.rises_by
    return one.falls_by is not None and span.first - span.last >= one.falls_by


def of_weather(one: Input, weather: Weather) -> Truth:
    if weather is Weather.unknown:
        return None
    return weather is Weather.storm or (one.at_least == "wet" and weather is Weather.wet)


def joined(asked: Sequence[Asked]) -> Asked:
    """Of several devices one is enough; of none at all nothing is known."""
    if not asked:
        return Asked(None)
    return Asked(
        any_of(one.truth for one in asked),
        tuple(one.seen for one in asked),
        max(one.at_us for one in asked),
        max(one.received_us for one in asked),
        next((one.value for one in asked if one.truth), asked[0].value),
    )


# on what is committed -----------------------------------------------------------------------------------------------


class Composite:
    """Judges one such rule: of its devices those that what it needs may hold for, and those with something open."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def __call__(self, said: Said, in_force: RuleInForce, memory: Remembering, now: datetime) -> Iterator[Judgement]:
        rule = in_force.rule
        assert isinstance(rule, CompositeRule)  # noqa: S101 - its step asks for this kind
        devices = said.devices({*self._candidates(said, rule, now), *memory.subjects(rule.rule_id)})
        asked = {name: self._ask(said, one, rule, devices, now) for name, one in rule.inputs.items()}
        until = said.caught_up()
        for key, device in devices.items():
            counting = device.rule_for(in_force)
            own = counting.rule if counting is not None else rule
            assert isinstance(own, CompositeRule)  # noqa: S101 - an override keeps the kind
            of_it = {name: answers[key] for name, answers in asked.items()}
            truth: Truth = False
            if counting is not None:
                truth = rule.expression.judge({name: one.truth for name, one in of_it.items()})
            known = [one for one in of_it.values() if one.truth is not None]
            yield Judgement(
                subject=(SubjectKind.device, key),
                rule=counting or in_force,
                limits=one_level_of(own, by_silence=own.proof == "silence"),
                value=None if truth is None else float(truth),
                seen=(*(one.seen for one in known), counting is not None),
                at_us=max((one.at_us for one in known), default=0),
                received_us=max((one.received_us for one in known), default=microseconds(now)),
                proof=_proof(own, of_it, known),
                caught_up_us=until.get(device.shard),
            )

    def _candidates(self, said: Said, rule: CompositeRule, now: datetime) -> Sequence[int]:
        """Devices for which what the expression needs of themselves holds; without any such need, all of the family."""
        needs = own_needs(rule)
        if not needs:
            return [device.device_key for device in said.asked(self._places.of(said.connection, rule.family).devices)]
        all_of = sql.SQL("({})").format(sql.SQL(" AND ").join(holds(one) for one in needs))
        since = now - timedelta(seconds=min(one.max_age_s or 0.0 for one in needs))
        return said.reaching(FAMILIES[rule.family], [all_of], since)

    def _ask(
        self, said: Said, one: Input, rule: CompositeRule, devices: Mapping[int, Device], now: datetime
    ) -> dict[int, Asked]:
        """What an input says of each device."""
        now_us = microseconds(now)
        if one.of == "area_rain":
            weather = said.weather()
            return {
                key: _of_area(one, weather.get(device.district, UNKNOWN), now_us) for key, device in devices.items()
            }
        sources = said.sources(self._places, one, rule, devices)
        keys = {source for found in sources.values() for source in found}
        family, column, max_age_s = FAMILIES[one.family or rule.family], one.column(rule.family), one.max_age_s or 0.0
        answers: dict[int, Asked] = {}
        if one.over_s is None:
            for key, newest in said.newest(family, [column.name], keys).items():
                answers[key] = of_newest(one, newest, column.name, now_us, max_age_s)
        else:
            since = now - timedelta(seconds=max_age_s)
            for key, span in said.spans(family, column.name, one.over_s, keys, since).items():
                answers[key] = Asked(of_span(one, span), (span.ts_us,), span.ts_us, span.received_us, span.last)
        return {key: joined([answers.get(source, Asked(None)) for source in found]) for key, found in sources.items()}


def _of_area(one: Input, weather: Now, now_us: int) -> Asked:
    return Asked(of_weather(one, weather.state), (weather.since_us,), weather.since_us, now_us)


def of_newest(one: Input, newest: Newest, field: str, now_us: int, max_age_s: float) -> Asked:
    value = newest.values[field]
    truth = of_value(one, value) if newest.fresh(now_us, max_age_s) else None
    return Asked(truth, (newest.ts_us,), newest.ts_us, newest.received_us, value)


def own_needs(rule: CompositeRule) -> list[Input]:
    """What the expression needs of the newest values of the device itself."""
    needs = [one for name in sorted(rule.expression.needed) if (one := rule.inputs[name]).of == "self"]
    return [one for one in needs if one.test in ("above", "below", "equals")]


def holds(one: Input) -> sql.Composable:
    field = sql.Identifier(one.field or "")
    match one.test:
        case "above":
            return sql.SQL("{} >= {}::real").format(field, sql.Literal(one.above))
        case "below":
            return sql.SQL("{} <= {}::real").format(field, sql.Literal(one.below))
        case _:
            return sql.SQL("{} = {}").format(field, sql.Literal(one.equals))


def _proof(rule: CompositeRule, said: Mapping[str, Asked], known: Sequence[Asked]) -> dict[str, Any]:
    """The inputs as they were; as the reading shown, the first of the device's own measured ones."""
    inputs = {name: {"holds": one.truth, "value": one.value} for name, one in said.items()}
    proof: dict[str, Any] = {
        "ts_us": max((one.at_us for one in known), default=0),
        "received_us": max((one.received_us for one in known), default=0),
        "field": "",
        "label": rule.title,
        "inputs": inputs,
    }
    for name, one in rule.inputs.items():
        value = said[name].value
        if one.of == "self" and value is not None and not isinstance(value, bool):
            column = one.column(rule.family)
            limit = one.above if one.above is not None else one.below
            shown = {"field": column.name, "label": column.label, "unit": column.unit, "limit": limit}
            return proof | shown | {"value": round(float(value), 4)}
    return proof

"""Overloads: catchments whose storm sewers will soon carry all that they can, one alarm of each outfall.

What levels and rain say of this moment is alerts.drainage.overload's. Too few gauges, or no station that speaks:
unknown, which raises nothing and clears nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from alerts.city.devices import Places
from alerts.city.memory import Judgement, Remembering
from alerts.city.network import Network
from alerts.city.said import Said
from alerts.drainage.graph import DrainageGraph
from alerts.drainage.overload import Amount, Outlook, Rain, outlooks
from alerts.drainage.params import OverloadParams
from alerts.judge.outcome import RuleInForce
from alerts.judge.transition import Limits
from alerts.rules.overload import OverloadRule
from alerts.rules.parts import calms_after_s
from underfoot.alarms import SubjectKind
from underfoot.reports import microseconds

_SHOWN = 5


def limits_of(rule: OverloadRule) -> Limits:
    """Fewer minutes are worse: so they are negative here."""
    return Limits(
        reach=tuple(-level.limit for level in rule.levels),
        leave=tuple(-level.limit - level.dead_band for level in rule.levels),
        severity=tuple(level.rank for level in rule.levels),
        on_delay_us=tuple(int(level.on_delay_s * 1e6) for level in rule.levels),
        samples=tuple(level.samples for level in rule.levels),
        off_delay_us=int(rule.off_delay_s * 1e6),
        off_samples=rule.off_samples,
        by_silence=False,
        calm_us=int(calms_after_s(level.severity for level in rule.levels) * 1e6),
    )


class Overloads:
    """Judges such a rule over the whole network."""

    def __init__(self, places: Places, network: Network) -> None:
        self._places = places
        self._network = network

    def __call__(self, said: Said, in_force: RuleInForce, memory: Remembering, now: datetime) -> Iterator[Judgement]:
        rule = in_force.rule
        assert isinstance(rule, OverloadRule)  # noqa: S101 - its step asks for this kind
        (graph, belongs), now_us = self._network.of(said.connection), microseconds(now)
        found: dict[int, Outlook] = {}
        if graph.pipes:
            readings = said.levels(graph)
            nodes = {reading.node for reading in readings}
            rain_at = self._rain_at(said, graph, nodes, rule.params, now)
            found = outlooks(graph, belongs, readings, rain_at, rule.params, now_us)
        for outfall in sorted({*found, *memory.subjects(rule.rule_id)}):
            outlook = found.get(outfall)
            yield Judgement(
                subject=(SubjectKind.asset, outfall),
                rule=in_force,
                limits=limits_of(rule),
                value=-math.inf if outlook is None else None if outlook.minutes is None else -outlook.minutes,
                seen=() if outlook is None else (outlook.at_us, outlook.minutes),
                at_us=now_us if outlook is None else outlook.at_us,
                received_us=now_us,
                proof=_proof(graph, rule, outfall, outlook, now_us),
            )

    def _rain_at(
        self, said: Said, graph: DrainageGraph, nodes: set[int], params: OverloadParams, now: datetime
    ) -> dict[int, Rain]:
        """At each of these nodes what its nearest station that speaks says."""
        stations = self._places.of(said.connection, "rain")
        rain = _rain(said, [device.device_key for device in stations.devices], params, now)
        found: dict[int, Rain] = {}
        for key in nodes:
            node = graph.nodes.get(key)
            near = stations.within(node.lon, node.lat, params.rain_within_m) if node is not None else []
            station = next((device.device_key for device in near if device.device_key in rain), None)
            if station is not None:
                found[key] = rain[station]
        return found


def _rain(said: Said, stations: list[int], params: OverloadParams, now: datetime) -> Mapping[int, Rain]:
    span_s = float(params.max_age_s + params.gathers_most_s + 3 * params.now_s)
    falls = said.falls(stations, span_s, now - timedelta(seconds=params.max_age_s))
    amounts = {
        key: [Amount(fall.ts_us, float(fall.amount_mm)) for fall in fallen if fall.amount_mm is not None]
        for key, fallen in falls.items()
    }
    return {key: Rain(one) for key, one in amounts.items() if one}


def _proof(
    graph: DrainageGraph, rule: OverloadRule, outfall: int, outlook: Outlook | None, now_us: int
) -> dict[str, Any]:
    proof: dict[str, Any] = {"ts_us": now_us, "received_us": now_us, "field": "", "label": "片区排水能力恢复"}
    place = graph.nodes.get(outfall)
    if place is not None:
        proof["words"] = {"place": f"{place.name}汇水区"}
    if outlook is None or outlook.minutes is None or not math.isfinite(outlook.minutes):
        return proof
    proof |= {
        "ts_us": outlook.at_us,
        "label": "预计还有",
        "unit": "分钟",
        "value": round(outlook.minutes, 1),
        "limit": max(level.limit for level in rule.levels),
        "gauges": outlook.gauges,
        "mm_h": round(outlook.mm_h, 1),
        "bears_mm_h": None if outlook.bears_mm_h is None else round(outlook.bears_mm_h, 1),
        "nodes": [graph.nodes[key].asset_code for key in outlook.nodes[:_SHOWN] if key in graph.nodes],
    }
    first = next((graph.nodes[key].name for key in outlook.nodes if key in graph.nodes), "")
    reading = f"约{outlook.minutes:.0f}分钟后{f'{first}一带' if first else ''}满管"
    proof["words"] = proof.get("words", {}) | {"reading": reading}
    return proof

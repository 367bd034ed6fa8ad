"""Doubts: level gauges of sewers that cannot be right, by their neighbours on the network and by what flows.

What the readings say of this moment is alerts.drainage.doubt's; that it holds for long enough, in the gauge's own
reports, is the condition's as of any rule. Unknown freezes: where neighbours fall silent nothing is doubted anew, and
no doubt ends.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from alerts.city.memory import Judgement, Remembering, one_level_of
from alerts.city.network import Network
from alerts.city.said import Said
from alerts.drainage.doubt import Course, Doubt, judge_doubts
from alerts.drainage.graph import DrainageGraph
from alerts.drainage.params import BlockageParams
from alerts.judge.outcome import RuleInForce
from alerts.rules.doubt import DoubtRule
from underfoot.alarms import SubjectKind
from underfoot.families import FAMILIES
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_PIPE = FAMILIES["pipe"]
_SHOWN = 5


def doubted_devices(connection: Connection, rule_ids: Collection[str], now: datetime) -> frozenset[int]:
    """Of which an alarm by these rules is open at that moment."""
    rows = connection.execute(statement("city.doubted"), {"rule_ids": list(rule_ids), "now": now})
    return frozenset(key for (key,) in rows)


class Doubts:
    """Judges such a rule over every sewer gauge of the network."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __call__(self, said: Said, in_force: RuleInForce, memory: Remembering, now: datetime) -> Iterator[Judgement]:
        rule = in_force.rule
        assert isinstance(rule, DoubtRule)  # noqa: S101 - its step asks for this kind
        graph, belongs = self._network.of(said.connection)
        remembered = set(memory.subjects(rule.rule_id))
        doubted = {key for key in remembered if memory.of(rule.rule_id, (SubjectKind.device, key)).state.level}
        found = {
            one.device_key: one
            for one in _found(said, graph, belongs, rule, doubted, now)
            if one.device_key is not None
        }
        asked = remembered | {key for key, one in found.items() if one.doubted}
        devices = said.devices(asked)
        now_us = microseconds(now)
        for key in sorted(asked):
            device, doubt = devices.get(key), found.get(key)
            counting = device.rule_for(in_force) if device is not None else None
            own = counting.rule if counting is not None else rule
            assert isinstance(own, DoubtRule)  # noqa: S101 - an override keeps the kind
            value: float | None = 0.0
            if counting is not None:
                value = float(doubt.doubted) if doubt is not None and doubt.doubted is not None else None
            yield Judgement(
                subject=(SubjectKind.device, key),
                rule=counting or in_force,
                limits=one_level_of(own),
                value=value,
                seen=(None if doubt is None else doubt.at_us, counting is not None),
                at_us=now_us if doubt is None else doubt.at_us,
                received_us=now_us,
                proof=_proof(graph, doubt, now_us),
            )


def _found(
    said: Said,
    graph: DrainageGraph,
    belongs: Mapping[int, int],
    rule: DoubtRule,
    doubted: Collection[int],
    now: datetime,
) -> list[Doubt]:
    if not graph.pipes:
        return []
    readings = said.levels(graph)
    since = now - timedelta(seconds=rule.max_age_s)

    def courses(device_keys: Collection[int]) -> Mapping[int, Course]:
        span_s = rule.params.rises_s
        levels = said.spans(_PIPE, "level_m", span_s, device_keys, since)
        flows = said.spans(_PIPE, "flow_m3_h", span_s, device_keys, since)
        return {
            key: Course(levels[key].last - levels[key].first, flows[key].least, flows[key].most)
            for key in levels.keys() & flows.keys()
            if levels[key].covers(span_s) and flows[key].covers(span_s)
        }

    return judge_doubts(
        graph,
        readings,
        rule.params,
        BlockageParams(max_age_s=int(rule.max_age_s)),
        courses,
        now_us=microseconds(now),
        belongs=belongs,
        doubted={one.node for one in readings if one.device_key in doubted},
    )


def _proof(graph: DrainageGraph, doubt: Doubt | None, now_us: int) -> dict[str, Any]:
    column = _PIPE.column["fill_ratio"]
    proof: dict[str, Any] = {"ts_us": now_us, "received_us": now_us, "field": column.name, "label": column.label}
    if doubt is None:
        return proof
    proof |= {"ts_us": doubt.at_us, "unit": column.unit}
    if doubt.fill is not None:
        proof["value"] = round(doubt.fill, 2)
    against = [graph.nodes[node] for node in doubt.against if node in graph.nodes]
    if against and doubt.fill is not None:
        proof["against"] = [node.asset_code for node in against[:_SHOWN]]
        proof["words"] = {"reading": f"充满度读数{doubt.fill:.2f}，与{against[0].name}等相邻监测点不符"}
    return proof

"""Blockages: a pipe is named where water stands high above it and runs flat below; what follows from that is explained.

What the readings say of this moment is alerts.drainage.blockage's; that it holds for long enough, in event time, is the
condition's as of any rule. Unknown freezes: a gauge that falls silent neither names a pipe nor clears one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from alerts.city.causes import explain
from alerts.city.doubts import doubted_devices
from alerts.city.judging import Rulebook
from alerts.city.memory import Judgement, Memory, Reasons, Remembered, Remembering, one_level_of
from alerts.city.network import Network
from alerts.city.said import Said
from alerts.drainage.blockage import Suspicion, judge_blockage
from alerts.drainage.graph import DrainageGraph
from alerts.drainage.readings import Reading
from alerts.judge.outcome import RuleInForce
from alerts.rules.blockage import BlockageRule
from alerts.rules.doubt import DoubtRule
from alerts.rules.parts import FamilyRule
from underfoot.alarms import Condition, Reason, SubjectKind
from underfoot.ledger.pipes import Pipe
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

log = logging.getLogger(__name__)

REASONS: Reasons = {
    Reason.limit_reached: Reason.blockage_found,
    Reason.back_over_limit: Reason.blockage_found,
    Reason.below_limit: Reason.blockage_over,
}
_LONGEST_NAME = 8


class Blockages:
    """Judges such a rule over the whole network, and explains what follows from what is open."""

    def __init__(self, rulebook: Rulebook, network: Network) -> None:
        self._rulebook = rulebook
        self._network = network
        self._named: dict[tuple[str, int], Suspicion] = {}

    def __call__(self, said: Said, in_force: RuleInForce, memory: Remembering, now: datetime) -> Iterator[Judgement]:
        rule = in_force.rule
        assert isinstance(rule, BlockageRule)  # noqa: S101 - its step asks for this kind
        graph, belongs = self._network.of(said.connection)
        now_us = microseconds(now)
        remembered = memory.subjects(rule.rule_id)
        standing = [key for key in remembered if _stands(memory.of(rule.rule_id, (SubjectKind.pipe, key)))]
        readings = self._believed(said, graph, now) if graph.pipes else []
        found = judge_blockage(graph, readings, rule.params, now_us=now_us, standing=standing, belongs=belongs)
        named = {suspicion.pipe_key: suspicion for suspicion in found.suspicions}
        self._named = {key: one for key, one in self._named.items() if key[0] != rule.rule_id}
        self._named |= {(rule.rule_id, key): suspicion for key, suspicion in named.items()}
        newest = _newest(readings)
        for key in sorted({*found.verdicts, *remembered}):
            before = memory.of(rule.rule_id, (SubjectKind.pipe, key))
            pipe, suspicion = graph.pipes.get(key), named.get(key)
            verdict = found.verdicts.get(key) if pipe is not None else False
            if verdict is None and key in found.contradicted and not before.state.level:
                verdict = False  # what is not told yet begins anew; what is open does not end by it
            nodes = _nodes(before) if pipe is not None else ()
            at_us = max((newest[node] for node in nodes if node in newest), default=now_us)
            if suspicion is not None:
                nodes, at_us = (suspicion.upstream_node, suspicion.downstream_node), suspicion.at_us
            yield Judgement(
                subject=(SubjectKind.pipe, key),
                rule=in_force,
                limits=one_level_of(rule) if pipe is not None else replace(one_level_of(rule), off_delay_us=0),
                value=None if verdict is None else float(verdict),
                seen=(at_us, *nodes, verdict),
                at_us=at_us,
                received_us=now_us,
                proof=_proof(graph, pipe, suspicion, before, at_us, now_us),
                caught_up_us=None,
            )

    def _believed(self, said: Said, graph: DrainageGraph, now: datetime) -> list[Reading]:
        """Without the heads of gauges that are doubted at that moment: what they say is not known."""
        rule_ids = [one.rule.rule_id for one in self._rulebook.of_kind(said.connection, DoubtRule)]
        doubted = doubted_devices(said.connection, rule_ids, now)
        return [replace(one, head_m=None) if one.device_key in doubted else one for one in said.levels(graph)]

    def explain(self, connection: Connection, memory: Memory, now: datetime) -> None:
        """The levels in the pool above a blockage follow from it, while it is open and as the readings show them."""
        families = {
            in_force.rule.rule_id: in_force.rule.family
            for in_force in self._rulebook.all(connection)
            if isinstance(in_force.rule, FamilyRule)
        }
        explains = {
            in_force.rule.rule_id: in_force.rule.explains
            for in_force in self._rulebook.all(connection)
            if isinstance(in_force.rule, BlockageRule)
        }
        for rule_id, (_, pipe_key) in memory.open():
            suspicion = self._named.get((rule_id, pipe_key))
            if suspicion is None:
                continue
            params = {"asset_keys": list(suspicion.explained_nodes)}
            followers = [
                (SubjectKind.device.value, device_key, explained)
                for device_key, family in connection.execute(statement("city.devices_at"), params).fetchall()
                for explained in explains[rule_id]
                if families.get(explained) == family
            ]
            explain(connection, (SubjectKind.pipe.value, pipe_key, rule_id), followers, "下游管段疑似堵塞", now)


def _newest(readings: list[Reading]) -> dict[int, int]:
    said: dict[int, int] = {}
    for reading in readings:
        said[reading.node] = max(reading.at_us, said.get(reading.node, 0))
    return said


def _stands(before: Remembered) -> bool:
    return before.state.condition is not Condition.normal


def _nodes(before: Remembered) -> tuple[int, ...]:
    """The gauges that the last judgement rested on."""
    return tuple(int(node) for node in before.seen[1:3])


def _proof(
    graph: DrainageGraph,
    pipe: Pipe | None,
    suspicion: Suspicion | None,
    before: Remembered,
    at_us: int,
    now_us: int,
) -> dict[str, Any]:
    proof: dict[str, Any] = {"ts_us": at_us, "received_us": now_us, "field": "", "label": "水位差恢复"}
    if pipe is not None:
        proof |= {"pipe_id": pipe.pipe_id, "words": {"place": _place(graph, pipe)}}
    if pipe is None or suspicion is None:
        return proof
    invert = graph.invert_m(suspicion.downstream_node)
    depth = max(suspicion.head_down_m - invert, 0.0) if invert is not None else None
    began = before.state.rising[0].since_us if before.state.rising and before.state.rising[0] is not None else at_us
    up = "上游满管" if suspicion.fill_up >= 1 else "上游高水位"
    down = f"下游{depth:.1f}m" if depth is not None else "下游低水位"
    minutes = (at_us - began) // 60_000_000
    name = _name(graph, pipe.to_asset)
    below = name if 0 < len(name) <= _LONGEST_NAME else "下游井"
    return proof | {
        "label": "壅水超出正常",
        "unit": "m",
        "value": round(suspicion.excess_m, 2),
        "head_up_m": round(suspicion.head_up_m, 3),
        "head_down_m": round(suspicion.head_down_m, 3),
        "expected_head_m": round(suspicion.expected_head_m, 3),
        "pipes": [graph.pipes[key].pipe_id for key in suspicion.ranked_pipes[:10]],
        "words": {
            "place": _place(graph, pipe),
            "reading": f"{up}、{down}" + (f"，已{minutes}分钟" if minutes else ""),
            "act": f"带疏通车查{below}，禁止下井",
        },
    }


def _place(graph: DrainageGraph, pipe: Pipe) -> str:
    upper, lower = _name(graph, pipe.from_asset), _name(graph, pipe.to_asset)
    return f"{upper}→{lower}" if upper != lower else f"{upper}（管段{pipe.pipe_id}）"


def _name(graph: DrainageGraph, node: int) -> str:
    found = graph.nodes.get(node)
    return found.name if found is not None else ""

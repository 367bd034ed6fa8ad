"""Load: what a shard's holder must remember, from what is committed."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb

from alerts.outcome import Transition
from alerts.record import Recorder, state_from_json, withdrawn
from alerts.rulebook import rule_as_last_known
from underfoot.alarms import Condition, SubjectKind
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

if TYPE_CHECKING:
    from ingest.tenure import Tenure


def is_open(connection: Connection, subject_kind: SubjectKind, subject_key: int, rule_id: str) -> bool:
    params = {"subject_kind": subject_kind, "subject_key": subject_key, "rule_id": rule_id}
    return connection.execute(statement("alarms.is_open"), params).fetchone() is not None


def load_state(tenure: Tenure) -> None:
    """Everything, within the caller's transaction. What belongs to a withdrawn rule is ended in it."""
    _load_newest(tenure)
    _load_windows(tenure)
    _load_conditions(tenure)
    _load_open(tenure)


def _load_newest(tenure: Tenure) -> None:
    for device_key, ts, received_at, seq in tenure.connection.execute(
        statement("registry.latest_of_shard"), {"shard": tenure.shard}
    ):
        known = tenure.registry.by_key[device_key]
        known.family.evaluator.newest_us[known.slot] = microseconds(ts)
        known.family.evaluator.last_received_us[known.slot] = microseconds(received_at)
        if seq is not None:
            known.family.newest_seq[known.slot] = seq


def _load_windows(tenure: Tenure) -> None:
    """What rules that sum over time go on summing: back from each device's newest report, however long ago that was."""
    for devices in tenure.registry.families.values():
        for name, longest_us in devices.evaluator.longest_window_us.items():
            query = sql.SQL(statement("registry.recent_amounts")).format(
                table=sql.Identifier(devices.family.table), field=sql.Identifier(name)
            )
            params = {"shard": tenure.shard, "span": timedelta(microseconds=longest_us)}
            for device_key, ts, amount in tenure.connection.execute(query, params):
                slot = tenure.registry.by_key[device_key].slot
                devices.evaluator.windows.setdefault((name, slot), []).append((microseconds(ts), amount))


def _load_conditions(tenure: Tenure) -> None:
    """The engine's memory; what belongs to a rule no longer in force is ended with that reason."""
    over: list[Transition] = []
    dropped = []
    tenure.connection.execute(statement("alarms.adopt_conditions"), {"shard": tenure.shard})
    rows = tenure.connection.execute(statement("alarms.load_conditions"), {"shard": tenure.shard}).fetchall()
    for device_key, rule_id, stored in rows:
        known = tenure.registry.by_key[device_key]
        level = known.family.evaluator.levels.get(rule_id)
        if level is not None:
            level.put(known.slot, state_from_json(stored, len(level.limits.reach)))
            continue
        over.append(_withdrawn(tenure, device_key, rule_id, state_from_json(stored).condition))
        dropped.append({"subject_key": device_key, "rule_id": rule_id})
    Recorder(tenure.connection).record(over)
    if dropped:
        tenure.connection.execute(statement("alarms.drop_conditions"), {"rows": Jsonb(dropped)})


def _load_open(tenure: Tenure) -> None:
    """Open episodes of rules that keep no condition: devices offline, late hazards."""
    over: list[Transition] = []
    params: dict[str, Any] = {
        "shard": tenure.shard,
        "rule_ids": [rule_id for rule_id, in_force in tenure.rules.items() if in_force.rule.kind == "level"],
    }
    for device_key, rule_id, condition, of_rules in tenure.connection.execute(
        statement("alarms.load_open_device_episodes"), params
    ).fetchall():
        known = tenure.registry.by_key[device_key]
        in_force = tenure.rules.get(rule_id)
        if in_force is None:
            over.append(_withdrawn(tenure, device_key, rule_id, Condition(condition)))
        elif in_force.rule.kind == "no_data":
            known.family.evaluator.offline.add(known.slot)
        elif in_force.rule.kind == "late_hazard":
            known.family.evaluator.late[known.slot] = frozenset(of_rules)
    Recorder(tenure.connection).record(over)


def _withdrawn(tenure: Tenure, device_key: int, rule_id: str, before: Condition) -> Transition:
    rule = rule_as_last_known(tenure.connection, rule_id)
    return withdrawn(device_key, rule, before, time.time_ns() // 1000)

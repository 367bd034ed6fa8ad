"""Load: what a shard's holder must know and remember, from what is committed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.types.json import Jsonb

from alerts.outcome import Transition
from alerts.record import Recorder, state_from_json, withdrawn
from alerts.rulebook import rule_as_last_known
from ingest.registry import FAMILY_NAMES, DeviceRows, Elsewhere, Registry
from ingest.unpack import columns_of, lines_of
from underfoot.alarms import Condition, SubjectKind
from underfoot.clock import CLOCK
from underfoot.reports import NO_SEQ, POSTGRES_EPOCH_US, microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

if TYPE_CHECKING:
    from datetime import datetime

    from ingest.tenure import Tenure

# Columns that the ledger answers where a device does not say: what its asset's class means for them.
_BY_ASSET_KIND: dict[str, dict[str, float]] = {"network": {"0102": 0, "0103": 1, "0104": 1}}


FLOODING = "device.flooding"


@dataclass
class LedgerView:
    """How far a registry has followed the ledger."""

    shard: str
    registry: Registry
    seen_until: datetime | None = None

    def refresh(self, connection: Connection) -> int:
        """Take in devices registered or changed since the last time; at first, all. Returns how many are new."""
        row = connection.execute(statement("registry.newest_change"), {"shard": self.shard}).fetchone()
        new = self._take_in(connection, {"since": self.seen_until, "device_ids": None})
        self.seen_until = row[0] if row is not None and row[0] is not None else self.seen_until
        registry = self.registry
        registry.changes += 1
        registry.elsewhere.clear()
        registry.gateways = {
            gateway_id: (gateway_key, district)
            for gateway_id, gateway_key, district in connection.execute(statement("registry.gateways"))
        }
        codecs = connection.execute(statement("registry.declared_codecs"), {"shard": self.shard}).fetchall()
        if codecs != list(registry.declared.items()):
            registry.declared = dict(codecs)
            registry.by_topic.clear()
        return new

    def look_up(self, connection: Connection, device_ids: list[str]) -> None:
        """Ask for devices we do not know: one may have been registered a moment ago, or be another shard's. Asked for
        again each time: what a device says that was a stranger until now may be a hazard."""
        found = connection.execute(statement("registry.held_by"), {"device_ids": device_ids}).fetchall()
        self.registry.changes += bool(found)
        ours = [device_id for device_id, shard, *_ in found if shard == self.shard]
        if ours:
            self._take_in(connection, {"since": None, "device_ids": ours})
        for device_id, *where in found:
            if device_id not in self.registry.by_id:
                self.registry.elsewhere[device_id] = Elsewhere(*where)

    def _take_in(self, connection: Connection, which: dict[str, Any]) -> int:
        params = {"shard": self.shard, "families": list(FAMILY_NAMES)} | which
        vendors = [vendor for (vendor,) in connection.execute(statement("registry.vendors"), params)]
        params["vendors"] = vendors
        numbers = columns_of(
            connection,
            sql.SQL(statement("registry.devices")),
            params,
            device_key="int4",
            family="int2",
            district="int4",
            interval_s="int4",
            registered_us="timestamptz",
            gateway_key="int4",
            vendor_no="int4",
        )
        numbers["registered_us"] += POSTGRES_EPOCH_US
        ids = lines_of(connection, sql.SQL(statement("registry.device_ids")), params)
        new = self.registry.take_in(DeviceRows(device_id=ids, vendors=vendors, **numbers))
        if ids:
            self._describe(connection, params)
        return new

    def _describe(self, connection: Connection, params: dict[str, Any]) -> None:
        for family, devices in self.registry.families.items():
            if not len(devices):
                continue
            for name, values in devices.evaluator.baseline.items():
                query = sql.SQL(statement("registry.baselines"))
                self._put(connection, query, params | {"family": family, "field": name}, values)
            for name, values in devices.from_ledger.items():
                words = [{"word": word, "number": no} for word, no in devices.family.column[name].choices.items()]
                kinds = [{"kind": kind, "number": no} for kind, no in _BY_ASSET_KIND.get(name, {}).items()]
                more: dict[str, Any] = {"family": family, "field": name, "choices": Jsonb(words), "kinds": Jsonb(kinds)}
                self._put(connection, sql.SQL(statement("registry.from_ledger")), params | more, values)

    def _put(self, connection: Connection, query: sql.SQL, params: dict[str, Any], values: Any) -> None:
        found = columns_of(connection, query, params, device_key="int4", value="float8")
        if len(found["device_key"]):
            values[self.registry.slots_of(found["device_key"])[1]] = found["value"]


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
    for devices in tenure.registry.families.values():
        if not len(devices):
            continue
        query = sql.SQL(statement("registry.latest")).format(table=sql.Identifier(devices.family.latest_table))
        params = {"shard": tenure.shard, "no_seq": NO_SEQ}
        latest = columns_of(
            tenure.connection,
            query,
            params,
            device_key="int4",
            ts_us="timestamptz",
            received_us="timestamptz",
            seq="int8",
        )
        slots = tenure.registry.slots_of(latest["device_key"])[1]
        devices.evaluator.newest_us[slots] = latest["ts_us"] + POSTGRES_EPOCH_US
        devices.evaluator.last_received_us[slots] = latest["received_us"] + POSTGRES_EPOCH_US
        devices.newest_seq[slots] = latest["seq"]


def _load_windows(tenure: Tenure) -> None:
    """What rules that sum over time go on summing: back from each device's newest report, however long ago that was."""
    for devices in tenure.registry.families.values():
        for name, longest_us in devices.evaluator.longest_window_us.items():
            query = sql.SQL(statement("registry.recent_amounts")).format(
                table=sql.Identifier(devices.family.table),
                latest=sql.Identifier(devices.family.latest_table),
                field=sql.Identifier(name),
            )
            params = {"shard": tenure.shard, "span": timedelta(microseconds=longest_us)}
            for device_key, ts, amount in tenure.connection.execute(query, params):
                slot = tenure.device(device_key).slot
                devices.evaluator.windows.setdefault((name, slot), []).append((microseconds(ts), amount))


def _load_conditions(tenure: Tenure) -> None:
    """The engine's memory; what belongs to a rule no longer in force is ended with that reason."""
    over: list[Transition] = []
    dropped = []
    tenure.connection.execute(statement("alarms.adopt_conditions"), {"shard": tenure.shard})
    rows = tenure.connection.execute(statement("alarms.load_conditions"), {"shard": tenure.shard}).fetchall()
    for device_key, rule_id, stored in rows:
        known = tenure.device(device_key)
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
        known = tenure.device(device_key)
        in_force = tenure.rules.get(rule_id)
        if in_force is None:
            over.append(_withdrawn(tenure, device_key, rule_id, Condition(condition)))
        elif in_force.rule.kind == "no_data":
            known.family.evaluator.offline.add(known.slot)
        elif rule_id == FLOODING:
            tenure.flooding.seen(device_key)
        elif in_force.rule.kind == "late_hazard":
            known.family.evaluator.late[known.slot] = frozenset(of_rules)
    Recorder(tenure.connection).record(over)


def _withdrawn(tenure: Tenure, device_key: int, rule_id: str, before: Condition) -> Transition:
    rule = rule_as_last_known(tenure.connection, rule_id)
    return withdrawn(device_key, rule, before, CLOCK.now_us())

"""Load: what a shard's holder must know and remember, from what is committed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb

from alerts.judge.measures import AT_RIM
from alerts.judge.slopes import INTERVALS_WITHOUT
from alerts.judge.turns import Arrived, in_turn
from alerts.record.failing import FAILING, failing_now, rule_failures
from alerts.record.flaps import end_forgotten
from alerts.record.recorder import Recorder
from alerts.rules.level import PARTS
from alerts.rules.override import Scope
from ingest import hindsight
from ingest.conditions import load_conditions, load_open
from ingest.registry import FAMILY_NAMES, DeviceRows, Elsewhere, Registry
from underfoot.alarms import SubjectKind
from underfoot.clock import CLOCK
from underfoot.reports import NO_SEQ, POSTGRES_EPOCH_US, SUBSTITUTED, microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement
from underfoot.storage.unpack import columns_of, lines_of

if TYPE_CHECKING:
    from datetime import datetime

    from ingest.tenure import Tenure

# Columns that the ledger answers where a device does not say: what its asset's class means for them.
_BY_ASSET_KIND: dict[str, dict[str, float]] = {"network": {"0102": 0, "0103": 1, "0104": 1}}

_DEVICES_TOGETHER = 50_000
_LONG_AGO_US = -(2**62)
_WITHIN = {"area": "registry.within_area", "tag": "registry.tagged", "device": "registry.named"}


@dataclass
class LedgerView:
    """How far a registry has followed the ledger."""

    shard: str
    registry: Registry
    seen_until: datetime | None = None
    others_count: bool = False
    """For a device with something open, or on its way, other numbers of a rule count now: what is remembered has to be
    carried over to them, as when a rule is edited."""

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
            in_service="int2",
        )
        numbers["registered_us"] += POSTGRES_EPOCH_US
        numbers["in_service"] = numbers["in_service"] != 0
        ids = lines_of(connection, sql.SQL(statement("registry.device_ids")), params)
        new = self.registry.take_in(DeviceRows(device_id=ids, vendors=vendors, **numbers))
        if ids:
            self._describe(connection, params)
            self._assign(connection, params, numbers["device_key"])
        return new

    def _describe(self, connection: Connection, params: dict[str, Any]) -> None:
        for family, devices in self.registry.families.items():
            if not len(devices):
                continue
            for name, values in devices.evaluator.baseline.items():
                query = sql.SQL(statement("registry.fills_at_rim" if name == AT_RIM else "registry.baselines"))
                self._put(connection, query, params | {"family": family, "field": name}, values)
            for name, values in devices.from_ledger.items():
                words = [{"word": word, "number": no} for word, no in devices.family.column[name].choices.items()]
                kinds = [{"kind": kind, "number": no} for kind, no in _BY_ASSET_KIND.get(name, {}).items()]
                more: dict[str, Any] = {"family": family, "field": name, "choices": Jsonb(words), "kinds": Jsonb(kinds)}
                self._put(connection, sql.SQL(statement("registry.from_ledger")), params | more, values)

    def _assign(self, connection: Connection, params: dict[str, Any], device_keys: NDArray[np.int32]) -> None:
        """Which numbers of each rule count for these devices: the city's, or those of a narrower scope."""
        ours = self._by_family(device_keys)
        evaluators = [devices.evaluator for devices in self.registry.by_number]
        scopes = {scope for one in evaluators for scoped in one.scoped for scope in scoped.scopes[1:]}
        if not scopes:
            return
        within: dict[Scope, list[NDArray[np.int64]]] = {}
        for scope in scopes:
            query = sql.SQL(statement(_WITHIN[scope.kind]))
            found = columns_of(connection, query, params | {"name": scope.name}, device_key="int4")
            within[scope] = self._by_family(found["device_key"])
        for number, evaluator in enumerate(evaluators):
            variants = {scope: slots[number] for scope, slots in within.items()}
            self.others_count |= evaluator.assign(variants, ours[number])

    def _by_family(self, device_keys: NDArray[np.int32]) -> list[NDArray[np.int64]]:
        """The slots of these devices, family by family."""
        numbers, slots = self.registry.slots_of(device_keys)
        return [slots[numbers == number].astype(np.int64) for number in range(len(FAMILY_NAMES))]

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
    _load_means(tenure)
    _load_slopes(tenure)
    load_conditions(tenure)
    load_open(tenure)
    hindsight.load(tenure)
    _load_failing(tenure)
    _end_forgotten_flapping(tenure)


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
        devices.evaluator.newest_seq[slots] = latest["seq"]


def _load_windows(tenure: Tenure) -> None:
    """What rules that sum over time go on summing: back from each device's newest report, however long ago that was."""
    for devices in tenure.registry.families.values():
        for name, sums in devices.evaluator.measures.sums.items():
            query = sql.SQL(statement("registry.recent_amounts")).format(
                table=sql.Identifier(devices.family.table),
                latest=sql.Identifier(devices.family.latest_table),
                field=sql.Identifier(name),
            )
            params = {"shard": tenure.shard, "span": timedelta(microseconds=sums.longest_us)}
            for device_key, ts, amount in tenure.connection.execute(query, params):
                sums.windows.setdefault(tenure.device(device_key).slot, []).append((microseconds(ts), amount))


def _load_means(tenure: Tenure) -> None:
    """Their parts, added up by the database."""
    for devices in tenure.registry.families.values():
        for means in devices.evaluator.measures.means.values() if len(devices) else ():
            query = sql.SQL(statement("registry.recent_parts")).format(
                table=sql.Identifier(devices.family.table),
                latest=sql.Identifier(devices.family.latest_table),
                field=sql.Identifier(means.field),
            )
            params = {"shard": tenure.shard, "part_us": means.part_us, "parts": PARTS}
            found = columns_of(
                tenure.connection, query, params, device_key="int4", part="int8", total="float8", reports="int8"
            )
            slots = tenure.registry.slots_of(found["device_key"])[1].astype(np.int64)
            means.add(slots, found["part"], found["total"], found["reports"])


def _load_slopes(tenure: Tenure) -> None:
    """The samples of late, as if each were judged once more in its turn."""
    for devices in tenure.registry.families.values():
        evaluator = devices.evaluator
        for slopes in evaluator.measures.slopes.values() if len(devices) else ():
            query = sql.SQL(statement("registry.recent_values")).format(
                table=sql.Identifier(devices.family.table),
                latest=sql.Identifier(devices.family.latest_table),
                field=sql.Identifier(slopes.field),
            )
            params = {
                "shard": tenure.shard,
                "span": timedelta(microseconds=slopes.over_us),
                "intervals": INTERVALS_WITHOUT,
                "substituted": int(SUBSTITUTED),
                "rule_ids": [
                    rule_id for rule_id, level in evaluator.levels.items() if level.rule.field == slopes.field
                ],
            }
            recent = columns_of(
                tenure.connection,
                query,
                params,
                device_key="int4",
                ts_us="timestamptz",
                received_us="timestamptz",
                substituted="int2",
                value="float8",
            )
            slots = tenure.registry.slots_of(recent["device_key"])[1]
            for some in _bit_by_bit(slots):
                arrived = Arrived(
                    slot=slots[some],
                    ts_us=recent["ts_us"][some] + POSTGRES_EPOCH_US,
                    received_us=recent["received_us"][some] + POSTGRES_EPOCH_US,
                    substituted=recent["substituted"][some] != 0,
                )
                turn, late = in_turn(arrived, np.full(len(arrived.slot), _LONG_AGO_US))
                order = turn[~late[turn]]
                values = recent["value"][some]
                slopes.apply(slopes.judge(arrived.slot, arrived.ts_us, values, order, evaluator.interval_s)[1])


def _bit_by_bit(slots: NDArray[np.int32]) -> Iterator[slice]:
    """Some devices' rows at a time: what is made of them meanwhile takes many times their own room."""
    ends = np.append(np.flatnonzero(slots[1:] != slots[:-1]) + 1, len(slots)).tolist() if len(slots) else []
    first = 0
    for end in [*ends[_DEVICES_TOGETHER - 1 :: _DEVICES_TOGETHER], *ends[-1:]]:
        if end > first:
            yield slice(first, end)
        first = end


def _load_failing(tenure: Tenure) -> None:
    """Rules whose failing is open; of those that nobody judges any more it is over."""
    judged = {
        rule_id: devices.evaluator for devices in tenure.registry.by_number for rule_id in devices.evaluator.levels
    }
    failing = failing_now(tenure.connection, tenure.shard)
    tenure.failing = failing & judged.keys()
    for rule_id in tenure.failing:
        judged[rule_id].failing.add(rule_id)
    gone = failing - tenure.failing
    over = rule_failures(tenure.connection, tenure.shard, tenure.rules[FAILING], {}, gone, CLOCK.now_us())
    Recorder(tenure.connection).record(over)


def _end_forgotten_flapping(tenure: Tenure) -> None:
    def flaps(device_key: int, rule_id: str) -> bool:
        known = tenure.device(device_key)
        level = known.family.evaluator.levels.get(rule_id)
        return level is not None and known.slot in level.flapping

    end_forgotten(tenure.connection, tenure.shard, flaps, CLOCK.now_us())

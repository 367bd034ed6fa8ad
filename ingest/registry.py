"""The shard's devices in memory: who they are, and the newest thing each has said."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alerts.evaluate import Evaluator
from alerts.outcome import RuleInForce
from underfoot.families import FAMILIES, Family
from underfoot.reports import microseconds
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

# Columns that the ledger answers where a device does not say: what its asset's class means for them.
_BY_ASSET_KIND: dict[str, dict[str, float]] = {"0102": {"network": 0}, "0103": {"network": 1}, "0104": {"network": 1}}


@dataclass
class FamilyDevices:
    """The devices of one family. A device's slot is its place in every array here and in the evaluator's."""

    family: Family
    evaluator: Evaluator
    device_id: list[str] = field(default_factory=list)
    district: list[str] = field(default_factory=list)
    interval_s: list[int] = field(default_factory=list)
    registered_us: list[int] = field(default_factory=list)
    newest_seq: dict[int, int] = field(default_factory=dict)
    from_ledger: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.from_ledger = {column.name: np.zeros(0) for column in self.family.columns if column.choices}


@dataclass(frozen=True, slots=True)
class Known:
    family: FamilyDevices
    slot: int


class Registry:
    """Devices of one shard by device_id and by device_key. Grows as devices are registered."""

    def __init__(self, shard: str, rules: list[RuleInForce]) -> None:
        self._shard = shard
        self.families = {name: FamilyDevices(family, Evaluator(family, rules)) for name, family in FAMILIES.items()}
        self.by_id: dict[str, Known] = {}
        self.by_key: dict[int, Known] = {}
        self._seen_until: datetime | None = None

    def refresh(self, connection: Connection) -> int:
        """Take in devices registered or changed since the last time. Returns how many are new."""
        params = {"shard": self._shard, "since": self._seen_until}
        return self._take_in(connection.execute(statement("registry.devices_changed_since"), params).fetchall())

    def look_up(self, connection: Connection, device_ids: list[str]) -> int:
        """Ask for devices we do not know yet: one may have been registered a moment ago."""
        params = {"shard": self._shard, "device_ids": device_ids}
        return self._take_in(connection.execute(statement("registry.devices_named"), params).fetchall(), seen=False)

    def _take_in(self, rows: list[tuple[Any, ...]], *, seen: bool = True) -> int:
        fresh: dict[str, list[tuple[Any, ...]]] = {}
        for row in rows:
            device_key, device_id, family, district, interval_s, *_, updated_at = row
            if seen and (self._seen_until is None or updated_at > self._seen_until):
                self._seen_until = updated_at
            known = self.by_key.get(device_key)
            if known is None:
                fresh.setdefault(family, []).append(row)
            else:
                known.family.district[known.slot] = district
                known.family.interval_s[known.slot] = interval_s
                self._describe(known, row)
                self.by_id[device_id] = known
        for family, new_rows in fresh.items():
            self._append(self.families[family], new_rows)
        return sum(len(new_rows) for new_rows in fresh.values())

    def _append(self, devices: FamilyDevices, rows: list[tuple[Any, ...]]) -> None:
        first = len(devices.device_id)
        devices.evaluator.add_devices([row[0] for row in rows])
        for name, values in devices.from_ledger.items():
            devices.from_ledger[name] = np.concatenate([values, np.full(len(rows), np.nan)])
        for slot, row in enumerate(rows, first):
            device_key, device_id, _, district, interval_s, *_ = row
            devices.device_id.append(device_id)
            devices.district.append(district)
            devices.interval_s.append(interval_s)
            devices.registered_us.append(microseconds(row[8]))
            self.by_id[device_id] = self.by_key[device_key] = Known(devices, slot)
            self._describe(self.by_key[device_key], row)

    def _describe(self, known: Known, row: tuple[Any, ...]) -> None:
        baseline, kind, attributes = row[5:8]
        for name, values in known.family.evaluator.baseline.items():
            values[known.slot] = float(baseline.get(name, 0.0))
        said = _BY_ASSET_KIND.get(kind, {})
        for name, values in known.family.from_ledger.items():
            choice = attributes.get(name)
            column = known.family.family.column[name]
            values[known.slot] = (
                column.choices.get(choice, said.get(name, np.nan)) if choice else said.get(name, np.nan)
            )

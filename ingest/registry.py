"""The shard's devices in memory: who they are, and the newest thing each has said.

A million of them take some 200 bytes each: everything but their names is in arrays. A device's slot is its place in its
family's arrays; its handle says family and slot in one number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.judge.evaluate import Evaluator
from alerts.judge.outcome import RuleInForce
from ingest.flood import Allowance
from underfoot.families import FAMILIES, Family

FAMILY_NAMES = tuple(FAMILIES)
NOBODY = -1
"""The handle of nobody."""

SLOT_BITS = 28
SLOT = (1 << SLOT_BITS) - 1


@dataclass
class FamilyDevices:
    """The devices of one family; arrays by slot. What judging takes of them is the evaluator's."""

    family: Family
    evaluator: Evaluator
    district: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    in_service: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    registered_us: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    gateway_key: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    vendor_no: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    silence_us: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Until when, by its own clock, a device's silence has been taken for proof."""
    from_ledger: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    allowance: Allowance | None = None

    def __post_init__(self) -> None:
        self.from_ledger = {column.name: np.zeros(0) for column in self.family.columns if column.choices}

    def __len__(self) -> int:
        return len(self.district)


class Known(NamedTuple):
    """A device that this shard holds."""

    family: FamilyDevices
    slot: int


class Elsewhere(NamedTuple):
    """A device that another shard holds: what comes here for it is forwarded."""

    shard: str
    district: str
    family: str
    gateway_key: int
    vendor: str


@dataclass
class DeviceRows:
    """Devices of the ledger by column, in any order; `family` by its place in FAMILY_NAMES, `district` as a number,
    `gateway_key` 0 for none, `vendor_no` its place in `vendors`."""

    device_id: Sequence[str]
    device_key: NDArray[np.int32]
    family: NDArray[np.int16]
    district: NDArray[np.int32]
    interval_s: NDArray[np.int32]
    registered_us: NDArray[np.int64]
    gateway_key: NDArray[np.int32]
    vendor_no: NDArray[np.int32]
    vendors: Sequence[str]
    in_service: NDArray[np.bool_] | None = None
    """None: all of them."""


class Registry:
    """Devices of one shard by device_id, by device_key and by topic. Grows as devices are registered."""

    def __init__(self, rules: Iterable[RuleInForce]) -> None:
        listed = list(rules)
        self.families = {name: FamilyDevices(family, Evaluator(family, listed)) for name, family in FAMILIES.items()}
        self.by_number = tuple(self.families[name] for name in FAMILY_NAMES)
        self.by_id: dict[str, int] = {}
        self.by_topic: dict[str, int] = {}
        """Handles by report topic, of devices that have been heard and whose topic has been held against the ledger."""
        self.declared: dict[str, str] = {}
        """Codecs that the ledger declares, by device_id."""
        self.elsewhere: dict[str, Elsewhere] = {}
        self.gateways: dict[str, tuple[int, str]] = {}
        """By gateway_id, its gateway_key and its district."""
        self.vendors: list[str] = []
        self.changes = 0
        """How often it has changed: what was found out by it holds as long as that is the same."""
        self._by_key = np.full(1024, NOBODY, np.int32)

    def __len__(self) -> int:
        return len(self.by_id)

    def at(self, handle: int) -> Known:
        return Known(self.by_number[handle >> SLOT_BITS], handle & SLOT)

    def by_key(self, device_key: int) -> Known | None:
        handle = int(self._by_key[device_key]) if 0 <= device_key < len(self._by_key) else NOBODY
        return None if handle == NOBODY else self.at(handle)

    def slots_of(self, device_keys: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """By device_key, which family (place in FAMILY_NAMES) and which slot. All of them must be known."""
        handles = self._by_key[device_keys]
        return handles >> SLOT_BITS, handles & SLOT

    def take_in(self, rows: DeviceRows) -> int:
        """Devices that are new, or have changed. Returns how many are new."""
        keys = rows.device_key
        if len(keys) == 0:
            return 0
        if (most := int(keys.max())) >= len(self._by_key):
            room = np.full(max(most + 1, 2 * len(self._by_key)) - len(self._by_key), NOBODY, np.int32)
            self._by_key = np.concatenate([self._by_key, room])
        vendor_no = self._numbers_of_vendors(rows)
        new = self._by_key[keys] == NOBODY
        for number, devices in enumerate(self.by_number):
            fresh = np.flatnonzero(new & (rows.family == number))
            if len(fresh):
                first = len(devices)
                self._append(devices, rows, fresh)
                self._by_key[keys[fresh]] = (number << SLOT_BITS) + np.arange(first, len(devices), dtype=np.int32)
        handles = self._by_key[keys]
        for number, devices in enumerate(self.by_number):
            of_family = np.flatnonzero(handles >> SLOT_BITS == number)
            slots = handles[of_family] & SLOT
            devices.district[slots] = rows.district[of_family]
            devices.evaluator.interval_s[slots] = rows.interval_s[of_family]
            devices.in_service[slots] = True if rows.in_service is None else rows.in_service[of_family]
            devices.registered_us[slots] = rows.registered_us[of_family]
            devices.gateway_key[slots] = rows.gateway_key[of_family]
            devices.vendor_no[slots] = vendor_no[of_family]
        self.by_id.update(zip(rows.device_id, handles.tolist(), strict=True))
        if not new.all():
            self.by_topic.clear()
        return int(new.sum())

    def _numbers_of_vendors(self, rows: DeviceRows) -> NDArray[np.int32]:
        self.vendors += [vendor for vendor in rows.vendors if vendor not in self.vendors]
        ours = [self.vendors.index(vendor) for vendor in rows.vendors]
        return np.array(ours, np.int32)[rows.vendor_no]

    def _append(self, devices: FamilyDevices, rows: DeviceRows, fresh: NDArray[np.intp]) -> None:
        more = len(fresh)
        devices.evaluator.add_devices(rows.device_key[fresh])
        devices.registered_us = np.concatenate([devices.registered_us, np.zeros(more, np.int64)])
        devices.silence_us = np.concatenate([devices.silence_us, np.full(more, np.iinfo(np.int64).min)])
        devices.in_service = np.concatenate([devices.in_service, np.zeros(more, np.bool_)])
        for name in ("district", "gateway_key", "vendor_no"):
            setattr(devices, name, np.concatenate([getattr(devices, name), np.zeros(more, np.int32)]))
        for name, values in devices.from_ledger.items():
            devices.from_ledger[name] = np.concatenate([values, np.full(more, np.nan)])

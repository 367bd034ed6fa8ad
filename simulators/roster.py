"""The devices of a ledger as the simulators need them. Read with the ledger's own reader, so that a fleet and the
import of one file never differ in what they make of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from simulators.city import UNDERPASS_KIND, CityRow
from underfoot.families import FAMILIES
from underfoot.ledger.columns import LedgerError
from underfoot.ledger.reader import open_ledger
from underfoot.ledger.row import LedgerRow, parse
from underfoot.topics import ReportTopic

FOUL_KIND = "0102"
STORM_KIND = "0103"
_PUMP_AFTER_THE_FIRST = re.compile(r"(?<!\d)(?!1号)\d+号")
_WITHOUT_SEQ = frozenset({"AX-200", "AX-310"})
_TIME_AS_TEXT = frozenset({"ZY-L5", "ZY-F3", "ZY-P8", "ZY-T02"})


@dataclass(frozen=True, slots=True)
class RosterDevice:
    """A device as the ledger knows it. `kind` is the class code of its asset."""

    device_id: str
    family: str
    district: str
    kind: str
    asset_name: str
    address: str
    model: str
    interval_s: int

    @property
    def topic(self) -> str:
        return str(ReportTopic(self.district, self.family, self.device_id))

    @property
    def counts(self) -> bool:
        """Whether its reports carry `seq`."""
        return self.model not in _WITHOUT_SEQ

    @property
    def time_as_text(self) -> bool:
        """Whether its reports carry their time in RFC 3339 instead of epoch milliseconds."""
        return self.model in _TIME_AS_TEXT

    @property
    def underpass(self) -> bool:
        return self.family == "road" and (self.kind == UNDERPASS_KIND or "下穿" in self.asset_name + self.address)

    @property
    def forebay_gauge(self) -> bool:
        """The level gauge of a pump station is wired to its first pump."""
        return self.family == "pump" and not _PUMP_AFTER_THE_FIRST.search(self.asset_name)

    @property
    def place(self) -> str:
        """What tells devices of one family apart for a scenario: where it is, or what it watches."""
        if self.family == "road":
            return "underpass" if self.underpass else "road"
        if self.family == "pump":
            return "forebay" if self.forebay_gauge else "pump"
        return {FOUL_KIND: "foul", STORM_KIND: "storm"}.get(self.kind, self.kind)


def roster_of(rows: Iterable[CityRow]) -> list[RosterDevice]:
    """The devices of a demo city that was never written to a file."""
    return [
        RosterDevice(
            row.device_id,
            row.family,
            row.area_code[:6],
            row.asset_code[6:10],
            row.asset_name,
            row.address,
            row.model,
            int(row.expected_interval_s),
        )
        for row in rows
        if row.device_id
    ]


def read_roster(path: Path) -> list[RosterDevice]:
    """The devices of a ledger file, in its order."""
    devices: list[RosterDevice] = []
    with open_ledger(path) as ledger:
        header = ledger.header
        if "device_id" not in header.columns:
            raise LedgerError(f"{path}: no column device_id: a fleet needs devices, not only assets")
        id_at, unit = header.columns.index("device_id"), header.interval_unit
        for row in ledger.rows:
            if id_at >= len(row.cells) or not row.cells[id_at]:
                continue
            named = {name: cell for name, cell in zip(header.columns, row.cells, strict=False) if name is not None}
            if unit != "s" and named.get("expected_interval_s", "")[-1:].isdigit():
                named["expected_interval_s"] += unit
            device, faults = parse(named, {})
            if device is None:
                first = faults[0]
                raise LedgerError(f"{path} row {row.number}: {first.column} = {first.value!r}: {first.allowed}")
            devices.append(_from_ledger(device))
    if not devices:
        raise LedgerError(f"{path}: there is no device in it, only assets without one")
    return devices


def _from_ledger(row: LedgerRow) -> RosterDevice:
    family = row.family or ""
    return RosterDevice(
        row.device_id or "",
        family,
        row.area_code[:6],
        row.class_code or "",
        row.asset_name or "",
        row.address or "",
        row.model or "",
        row.interval_s or FAMILIES[family].default_interval_s,
    )

"""Imports a ledger: file → rows → staging table → checks together and against the database → merge. One transaction.

All or nothing, unless the bad rows are to be set aside in a file of their own.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from underfoot.ledger.areas import LEVELS, PROVINCES, way_up
from underfoot.ledger.columns import LedgerError
from underfoot.ledger.reader import open_ledger
from underfoot.ledger.row import OWN_ASSET_SCHEME, Fault, LedgerRow, parse
from underfoot.ledger.staging import (
    Count,
    Progress,
    Understood,
    count_rows,
    refuse_cut_codes,
    stage,
    write_bad_rows,
)
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

_STAGED_COLUMNS = 28


@dataclass(frozen=True)
class Move:
    """A device that is known on another asset, or in another district (its topic then changes), than the file says."""

    device_id: str
    asset_code_before: str
    asset_code: str
    district_before: str
    district: str


@dataclass
class ImportSummary:
    file: str
    rows: int = 0
    bad_rows: int = 0
    bad_rows_file: str | None = None
    areas: Count = field(default_factory=Count)
    assets: Count = field(default_factory=Count)
    devices: Count = field(default_factory=Count)
    moved: list[Move] = field(default_factory=list)
    kept_as_attributes: list[str] = field(default_factory=list)
    committed: bool = True
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def changes(self) -> int:
        return sum(count.new + count.changed for count in (self.areas, self.assets, self.devices))


def import_ledger(
    connection: Connection,
    path: Path,
    *,
    actor: str,
    sheet: str | None = None,
    bad_rows_to: Path | None = None,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> ImportSummary:
    """Import the ledger at `path`; with `bad_rows_to`, import its good rows and write the bad ones there."""
    began = time.monotonic()
    summary = ImportSummary(path.name, committed=not dry_run)
    try:
        with connection.transaction(force_rollback=dry_run):
            connection.execute(statement("ledger.lock_import"))
            connection.execute(statement("ledger.create_staging"))
            with open_ledger(path, sheet) as ledger:
                names = _AreaNames()
                stage(connection, ledger, "ledger.stage", _STAGED_COLUMNS, partial(_understand, names), progress)
                columns = list(ledger.header.present)
                summary.kept_as_attributes = list(ledger.header.attributes)
                refuse_cut_codes(ledger)
            _check_together(connection)
            summary.rows, summary.bad_rows = count_rows(connection, refuse_faults=bad_rows_to is None)
            _merge(connection, columns, names, summary)
            if summary.changes:
                connection.execute(statement("ledger.notify_registry"))
            if summary.bad_rows and bad_rows_to is not None:
                write_bad_rows(connection, path, sheet, bad_rows_to)
                summary.bad_rows_file = str(bad_rows_to)
            detail = summary.as_dict() | {"moved": len(summary.moved)}
            connection.execute(
                statement("ledger.audit"),
                {"actor": actor, "action": "ledger.import", "subject": path.name, "detail": Jsonb(detail)},
            )
    except psycopg.errors.CheckViolation as error:
        raise LedgerError(
            f"与已有记录矛盾，未导入 · it contradicts what is known; nothing was imported: {error}"
        ) from None
    summary.seconds = round(time.monotonic() - began, 3)
    return summary


# staging ------------------------------------------------------------------------------------------------------------


class _AreaNames:
    """The names that the file gives areas. A code has one name: a second one is a fault of its row."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[str, int]] = {}

    def hear(self, row: LedgerRow, number: int) -> Fault | None:
        for code, name in zip(way_up(row.area_code), row.area_name, strict=False):
            said, first_row = self._said.setdefault(code, (name, number))
            if said != name:
                allowed = f"第 {first_row} 行称 {code} 为 {said} · row {first_row} calls {code} {said}"
                return Fault("area_name", name, allowed)
        return None

    def of(self, code: str) -> str | None:
        return self._said[code][0] if code in self._said else None


def _understand(names: _AreaNames, number: int, named: dict[str, str], attributes: dict[str, str]) -> Understood:
    row, faults = parse(named, attributes)
    if row is None:
        return faults
    if fault := names.hear(row, number):
        return [fault]
    return (
        row.device_id,
        row.family,
        row.area_code,
        row.scheme,
        row.code,
        row.class_code,
        row.default_name if row.asset_name == "" else row.asset_name,
        row.default_name,
        row.address,
        row.lon,
        row.lat,
        row.supervising_unit,
        row.owner_unit,
        row.maintenance_unit,
        None if row.tags is None else list(row.tags),
        "完好" if row.object_state == "" else row.object_state,
        row.defect or None,
        row.defect_found_on,
        row.defect_repaired_on,
        row.safety_net_on,
        Jsonb(row.kept),
        row.vendor,
        row.model,
        row.interval_s,
        row.installed_on,
        "in_service" if row.status == "" else row.status,
        row.codec,
        row.gateway,
    )


# checks and merge ---------------------------------------------------------------------------------------------------


def _check_together(connection: Connection) -> None:
    for check in (
        "fault_repeated_devices",
        "fault_contradicted_assets",
        "fault_changed_families",
        "fault_unknown_codecs",
    ):
        connection.execute(statement(f"ledger.{check}"))


def _merge(connection: Connection, columns: list[str], names: _AreaNames, summary: ImportSummary) -> None:
    summary.areas = _merge_areas(connection, names)
    assets, devices = connection.execute(statement("ledger.count_staged")).fetchone() or (0, 0)
    (changed,) = connection.execute(statement("ledger.merge_known_assets"), {"columns": columns}).fetchone() or (0,)
    new = connection.execute(statement("ledger.merge_new_assets")).rowcount
    summary.assets = Count(new, changed, assets - new - changed)
    summary.moved = [Move(*row) for row in connection.execute(statement("ledger.moves"))]
    connection.execute(statement("ledger.merge_gateways"))
    changed = connection.execute(statement("ledger.merge_known_devices"), {"columns": columns}).rowcount
    new = connection.execute(statement("ledger.merge_new_devices")).rowcount
    summary.devices = Count(new, changed, devices - new - changed)
    if summary.moved:
        connection.execute(statement("ledger.withdraw_own_assets"), {"own_scheme": OWN_ASSET_SCHEME})


def _merge_areas(connection: Connection, names: _AreaNames) -> Count:
    staged = [code for (code,) in connection.execute(statement("ledger.staged_areas"))]
    codes = sorted({above for code in staged for above in way_up(code)}, key=lambda code: (len(code), code))
    known: dict[str, str] = dict(connection.execute(statement("ledger.known_areas"), {"codes": codes}).fetchall())
    merged = connection.execute(
        statement("ledger.merge_areas"),
        {
            "codes": codes,
            "names": [names.of(code) or known.get(code) or PROVINCES.get(code) or code for code in codes],
            "parents": [next(iter(way_up(code)[1:]), None) for code in codes],
            "levels": [LEVELS[len(code)] for code in codes],
        },
    ).fetchall()
    new = sum(1 for (inserted,) in merged if inserted)
    return Count(new, len(merged) - new, len(codes) - len(merged))

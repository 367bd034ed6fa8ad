"""Newcomers: devices that report and are in no ledger. Where an area lets them, they wait on a list; approving one puts
it into the ledger and its reports, which are in quarantine, through. A refused one stays refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from psycopg.rows import dict_row

from underfoot.audit.log import enter
from underfoot.ledger.areas import LEVELS, PROVINCES, way_up
from underfoot.ledger.row import NATIONAL_SCHEME, OWN_ASSET_SCHEME, LedgerRow, parse
from underfoot.quarantine import Selection, replay
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

State = Literal["waiting", "approved", "refused"]
Row = dict[str, Any]

MOST_AT_ONCE = 1000


class NewcomerError(Exception):
    """It cannot be done: says which field, its value, and what is allowed."""

    def __init__(self, field: str, value: object, message: str) -> None:
        super().__init__(f"{field} = {value!r}: {message}")
        self.field = field
        self.value = value
        self.message = message


class UnknownNewcomerError(NewcomerError):
    """No such device is on the list."""


@dataclass(frozen=True)
class Placement:
    """Where a newcomer is put: on the asset of that code; or, given a kind instead, on an asset of its own that stands
    for the device until the ledger knows better, in the area of that code (else in the district that its reports say).
    Without an interval, its family's is expected."""

    asset_code: str | None = None
    code_scheme: str = NATIONAL_SCHEME
    kind: str | None = None
    area_code: str | None = None
    interval: str | None = None
    """Seconds, or like `15min`, as in a ledger."""


@dataclass(frozen=True)
class Approved:
    """What came of it: the devices that are in the ledger now, and how many of their reports were posted."""

    device_ids: list[str]
    replayed: int


@dataclass(frozen=True)
class Switch:
    """An area's word on newcomers, and what holds there: its own word, or of the nearest area above that has one."""

    code: str
    auto_register: bool | None
    in_force: bool


def listed(
    connection: Connection,
    *,
    state: State = "waiting",
    area: str | None = None,
    family: str | None = None,
    mine: Sequence[str] | None = None,
    after: tuple[str, str] = ("", ""),
    limit: int,
) -> list[Row]:
    """Newcomers by district and id, from after that one on. `mine`: only of these districts, here and in all that
    follows; what is elsewhere is as if it were not there."""
    params = {"state": state, "area": area, "family": family, "districts": _listed(mine), "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        reached = {"after_district": after[0], "after_device_id": after[1]}
        return cursor.execute(statement("newcomers.listed"), params | reached, prepare=False).fetchall()


def approve(
    connection: Connection, device_id: str, placement: Placement, *, mine: Sequence[str] | None = None, actor: str
) -> Approved:
    """Put one newcomer into the ledger, tell the holders, and replay its reports, in one transaction. One that was
    refused may be approved after all."""
    with connection.transaction():
        return _approve(connection, [_locked(connection, device_id, mine)], placement, actor)


def approve_area(
    connection: Connection,
    area: str,
    placement: Placement,
    *,
    family: str | None = None,
    mine: Sequence[str] | None = None,
    actor: str,
) -> Approved:
    """The same for everyone who waits in an area and below it, each on an asset of its own; all or nobody."""
    if placement.asset_code is not None:
        raise NewcomerError("asset_code", placement.asset_code, "one asset cannot carry everybody; give a kind")
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        given = {"area": area, "family": family, "districts": _listed(mine), "limit": MOST_AT_ONCE + 1}
        rows = cursor.execute(statement("newcomers.lock_area"), given).fetchall()
        if len(rows) > MOST_AT_ONCE:
            raise NewcomerError("area", area, f"more than {MOST_AT_ONCE} wait there; take a smaller area or one family")
        return _approve(connection, rows, placement, actor)


def refuse(connection: Connection, device_ids: Sequence[str], *, mine: Sequence[str] | None = None, actor: str) -> None:
    """They stay refused, however often they report. Again is the same as once."""
    with connection.transaction():
        for device_id in device_ids:
            _refuse(connection, _locked(connection, device_id, mine), actor)


def refuse_area(connection: Connection, area: str, *, family: str | None = None, actor: str) -> list[str]:
    """Everyone who waits in an area and below it; says who."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        given = {"area": area, "family": family, "districts": None, "limit": None}
        rows = cursor.execute(statement("newcomers.lock_area"), given).fetchall()
        for row in rows:
            _refuse(connection, row, actor)
    return [row["device_id"] for row in rows]


def switch(connection: Connection, code: str, on: bool | None, *, actor: str) -> Switch:
    """Let unknown devices of an area and all below it wait for approval, or not; None: as the area above."""
    _check_switchable(code)
    with connection.transaction():
        _know_areas(connection, code)
        connection.execute(statement("newcomers.set_switch"), {"code": code, "auto_register": on})
        enter(connection, actor, "area.auto_register", f"area:{code}", {"auto_register": on})
    return switch_of(connection, code)


def switch_of(connection: Connection, code: str) -> Switch:
    _check_switchable(code)
    codes = way_up(code)
    said: dict[str, bool | None] = dict(
        connection.execute(statement("newcomers.switches"), {"codes": codes}).fetchall()
    )
    nearest = next((said[above] for above in codes if said.get(above) is not None), None)
    return Switch(code, said.get(code), bool(nearest))


# steps --------------------------------------------------------------------------------------------------------------


def _check_switchable(code: str) -> None:
    if not (code.isascii() and code.isdigit() and len(code) in (2, 4, 6) and code[:2] in PROVINCES):
        raise NewcomerError(
            "code", code, "2 digits (province), 4 (city) or 6 (district): a report says no more than its district"
        )


def _listed(mine: Sequence[str] | None) -> list[str] | None:
    return None if mine is None else list(mine)


def _locked(connection: Connection, device_id: str, mine: Sequence[str] | None) -> Row:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement("newcomers.lock"), {"device_id": device_id}).fetchone()
    if row is None or (mine is not None and row["district"] not in mine):
        raise UnknownNewcomerError("device_id", device_id, "no such device is on the list of newcomers")
    if row["state"] == "approved":
        raise NewcomerError("device_id", device_id, "it is in the ledger already, and waits no longer")
    return row


def _approve(connection: Connection, rows: Sequence[Row], placement: Placement, actor: str) -> Approved:
    device_ids = [row["device_id"] for row in rows]
    if not rows:
        return Approved([], 0)
    for row in rows:
        _register(connection, row, placement, actor)
    connection.execute(statement("ledger.notify_registry"))
    done = replay(connection, Selection(device_ids=device_ids), actor=actor)
    return Approved(device_ids, done.posted)


def _register(connection: Connection, row: Row, placement: Placement, actor: str) -> None:
    """One newcomer into the ledger, under the same rules as a row of an imported one."""
    device_id = row["device_id"]
    if (placement.asset_code is None) == (placement.kind is None):
        raise NewcomerError("asset_code", placement.asset_code, "give either an asset_code or a kind")
    if placement.asset_code is not None:
        asset_key, area_code = _asset(connection, placement)
    else:
        asset_key, area_code = None, placement.area_code or row["district"]
        if not area_code:
            raise NewcomerError("area_code", None, f"{device_id} says no district: give the area that it stands in")
    given = {"device_id": device_id, "family": row["family"], "area_code": area_code}
    given |= {"expected_interval_s": placement.interval or "", "kind": placement.kind or ""}
    parsed, faults = parse(given, {})
    if parsed is None:
        raise NewcomerError(faults[0].column, faults[0].value, faults[0].allowed)
    if row["district"] not in ("", parsed.area_code[:6]):
        field, value = ("asset_code", placement.asset_code) if asset_key else ("area_code", area_code)
        stands = f"it stands in {parsed.area_code}" if asset_key else "it is elsewhere"
        raise NewcomerError(field, value, f"{stands}, and {device_id} reports from {row['district']}")
    if asset_key is None:
        asset_key = _own_asset(connection, parsed)
    device = {"device_id": device_id, "family": row["family"], "district": parsed.area_code[:6], "asset_key": asset_key}
    device |= {"vendor": row["vendor"], "gateway_id": row["gateway_id"], "interval_s": parsed.interval_s}
    if connection.execute(statement("newcomers.create_device"), device).rowcount == 0:
        raise NewcomerError("device_id", device_id, "it is in the ledger already; replay its reports from quarantine")
    connection.execute(
        statement("newcomers.decide"), {"device_id": device_id, "state": "approved", "decided_by": actor}
    )
    enter(connection, actor, "newcomer.approve", f"device:{device_id}", _decided(row, placement))


def _asset(connection: Connection, placement: Placement) -> tuple[int, str]:
    """The asset's key, and the area that it stands in."""
    wanted = {"scheme": placement.code_scheme, "code": placement.asset_code}
    found = connection.execute(statement("newcomers.asset"), wanted).fetchone()
    if found is None:
        raise NewcomerError(
            "asset_code", placement.asset_code, f"the ledger has no such asset under {placement.code_scheme}"
        )
    asset_key, area_code = found
    return asset_key, area_code


def _own_asset(connection: Connection, parsed: LedgerRow) -> int:
    if not parsed.kind:
        raise NewcomerError("kind", parsed.kind, "4 digits or a name, like 0103 or 雨水井盖")
    _know_areas(connection, parsed.area_code)
    own = {"scheme": OWN_ASSET_SCHEME, "code": parsed.device_id, "kind": parsed.kind, "name": parsed.default_name}
    row = connection.execute(statement("newcomers.own_asset"), own | {"area_code": parsed.area_code}).fetchone()
    if row is None:
        raise LookupError(f"the asset of {parsed.device_id} was made and is not there")
    key: int = row[0]
    return key


def _refuse(connection: Connection, row: Row, actor: str) -> None:
    if row["state"] == "refused":
        return
    decided = {"device_id": row["device_id"], "state": "refused", "decided_by": actor}
    connection.execute(statement("newcomers.decide"), decided)
    enter(connection, actor, "newcomer.refuse", f"device:{row['device_id']}", _decided(row, None))


def _decided(row: Row, placement: Placement | None) -> Row:
    detail = {name: row[name] for name in ("family", "district", "vendor", "gateway_id", "reports")}
    if placement is not None:
        detail |= {name: value for name, value in asdict(placement).items() if value is not None}
    return detail


def _know_areas(connection: Connection, code: str) -> None:
    """The area and those above it, as an import brings them into being; a name that is known stays."""
    codes = sorted(way_up(code), key=len)
    known: dict[str, str] = dict(connection.execute(statement("ledger.known_areas"), {"codes": codes}).fetchall())
    new = [each for each in codes if each not in known]
    if new:
        connection.execute(
            statement("ledger.merge_areas"),
            {
                "codes": new,
                "names": [PROVINCES.get(each, each) for each in new],
                "parents": [next(iter(way_up(each)[1:]), None) for each in new],
                "levels": [LEVELS[len(each)] for each in new],
            },
        )

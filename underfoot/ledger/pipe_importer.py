"""Imports a ledger of pipes: file → rows → staging table → checks against assets and as a graph → merge.

As with assets: one transaction, all or nothing, unless the bad rows are to be set aside in a file of their own. What is
wrong stops an import (no such asset, a size that no pipe has, water in a circle); what is only odd (a rising pipe, a
step between two) is told and let in, since sewers like that exist.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from psycopg.types.json import Jsonb

from underfoot.ledger.columns import LedgerError
from underfoot.ledger.pipe_checks import Finding, check, circles, network, shown_circle
from underfoot.ledger.pipe_row import PIPES, parse_pipe
from underfoot.ledger.pipes import load_pipes
from underfoot.ledger.reader import open_ledger
from underfoot.ledger.row import Fault
from underfoot.ledger.staging import (
    SHOWN_AT_MOST,
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

_STAGED_COLUMNS = 11


@dataclass
class PipesSummary:
    """`warnings` counts what is odd about the file's pipes, check by check; `first_warnings` are the first of them."""

    file: str
    rows: int = 0
    bad_rows: int = 0
    bad_rows_file: str | None = None
    pipes: Count = field(default_factory=Count)
    warnings: dict[str, int] = field(default_factory=dict)
    first_warnings: list[Finding] = field(default_factory=list)
    kept_as_attributes: list[str] = field(default_factory=list)
    committed: bool = True
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def import_pipes(
    connection: Connection,
    path: Path,
    *,
    actor: str,
    sheet: str | None = None,
    bad_rows_to: Path | None = None,
    dry_run: bool = False,
    progress: Progress = lambda done, total: None,
) -> PipesSummary:
    """Import the pipes at `path`; with `bad_rows_to`, import its good rows and write the bad ones there."""
    began = time.monotonic()
    summary = PipesSummary(path.name, committed=not dry_run)
    with connection.transaction(force_rollback=dry_run):
        connection.execute(statement("ledger.lock_import"))
        connection.execute(statement("pipes.create_staging"))
        with open_ledger(path, sheet, PIPES) as ledger:
            stage(connection, ledger, "pipes.stage", _STAGED_COLUMNS, _understand, progress)
            columns = ledger.header.present
            summary.kept_as_attributes = list(ledger.header.attributes)
            refuse_cut_codes(ledger)
        connection.execute(statement("pipes.fault_repeated_pipes"))
        connection.execute(statement("pipes.find_ends"))
        connection.execute(statement("pipes.fault_unknown_ends"))
        while _fault_circles(connection):
            pass  # a row set aside leaves what is known of its pipe, which may close another circle
        summary.rows, summary.bad_rows = count_rows(connection, refuse_faults=bad_rows_to is None)
        _merge(connection, {"has_roughness": "roughness" in columns}, summary)
        _warn(connection, summary)
        if summary.pipes.new + summary.pipes.changed:
            connection.execute(statement("ledger.notify_registry"))
        if summary.bad_rows and bad_rows_to is not None:
            write_bad_rows(connection, path, sheet, bad_rows_to, PIPES)
            summary.bad_rows_file = str(bad_rows_to)
        detail = summary.as_dict()
        del detail["first_warnings"]
        connection.execute(
            statement("ledger.audit"),
            {"actor": actor, "action": "pipes.import", "subject": path.name, "detail": Jsonb(detail)},
        )
    summary.seconds = round(time.monotonic() - began, 3)
    return summary


def remove_pipe(connection: Connection, pipe_id: str, *, reason: str, actor: str) -> None:
    """Take a pipe out of the ledger. Not while an alarm about it is open: that would be about nothing."""
    with connection.transaction():
        found = connection.execute(statement("pipes.lock"), {"pipe_id": pipe_id}).fetchone()
        if found is None:
            raise no_such_pipe(pipe_id)
        was, alarmed = found
        if alarmed:
            raise LedgerError(
                f"管段 {pipe_id!r} 有未结束的告警，请先处置 · pipe {pipe_id!r} has an open alarm: end that first"
            )
        connection.execute(statement("pipes.remove"), {"pipe_id": pipe_id})
        connection.execute(statement("ledger.notify_registry"))
        detail = Jsonb({"reason": reason, "was": was})
        connection.execute(
            statement("ledger.audit"), {"actor": actor, "action": "pipes.remove", "subject": pipe_id, "detail": detail}
        )


def no_such_pipe(pipe_id: str) -> LedgerError:
    return LedgerError(f"没有管段 {pipe_id!r} · there is no pipe {pipe_id!r}: `underfoot pipes list` shows them")


def _understand(_number: int, named: dict[str, str], attributes: dict[str, str]) -> Understood:
    row, faults = parse_pipe(named, attributes)
    if row is None:
        return faults
    return (
        row.pipe_id,
        row.code_scheme,
        row.from_asset,
        row.to_asset,
        row.kind,
        row.diameter_mm,
        row.length_m,
        row.invert_up_m,
        row.invert_down_m,
        row.roughness,
        Jsonb(row.attributes),
    )


def _fault_circles(connection: Connection) -> bool:
    """Every row of the file that is part of a circle is wrong: which of them should not be there, only people know."""
    edges = connection.execute(statement("pipes.edges_to_be")).fetchall()
    found = list(circles(network((upper, lower) for _, _, upper, lower in edges)))
    if not found:
        return False
    keys = [key for part, _ in found for key in part]
    codes: dict[int, str] = dict(connection.execute(statement("pipes.codes_of"), {"asset_keys": keys}).fetchall())
    circle_of = {key: number for number, (part, _) in enumerate(found) for key in part}
    shown = [shown_circle([codes[key] for key in circle]) for _, circle in found]
    rows, faults = [], []
    for file_row, _, upper, lower in edges:
        if file_row is not None and circle_of.get(upper, -1) == circle_of.get(lower, -2):
            allowed = f"水流不能成环 · water must not flow in a circle: {shown[circle_of[upper]]}"
            rows.append(file_row)
            faults.append(Jsonb([Fault("to_asset", codes[lower], allowed).as_dict()]))
    connection.execute(statement("pipes.set_faults"), {"file_rows": rows, "faults": faults})
    return bool(rows)


def _merge(connection: Connection, columns: dict[str, bool], summary: PipesSummary) -> None:
    changed = connection.execute(statement("pipes.merge_known_pipes"), columns).rowcount
    new = connection.execute(statement("pipes.merge_new_pipes")).rowcount
    connection.execute(statement("pipes.touch_gauges"))
    summary.pipes = Count(new, changed, summary.rows - summary.bad_rows - new - changed)


def _warn(connection: Connection, summary: PipesSummary) -> None:
    staged = {pipe_id for (pipe_id,) in connection.execute(statement("pipes.staged_pipes"))}
    findings = [finding for finding in check(*load_pipes(connection)) if not staged.isdisjoint(finding.pipes)]
    summary.warnings = dict(Counter(finding.check for finding in findings))
    summary.first_warnings = findings[:SHOWN_AT_MOST]

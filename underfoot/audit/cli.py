"""`underfoot audit …`: look at the log, prove it, take it to an inspector, and let services add to it and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from underfoot.audit.chain import Head
from underfoot.audit.files import AuditFileError, export, kind_of, prove
from underfoot.audit.log import Acts, enter, listed
from underfoot.audit.services import ServicesError, let_serve
from underfoot.audit.verify import Broken, one_view, stretch_of, verify
from underfoot.city_time import CITY_ZONE, read_moment
from underfoot.clock import CLOCK
from underfoot.terminal import actor, connect_migrated

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
audit = typer.Typer(no_args_is_help=True, help="The audit log (审计): who did what; look at it, prove it, export it.")
commands.add_typer(audit, name="audit")

_From = Annotated[
    str | None, typer.Option("--from", help="From this time on, like 2026-07-01 (the city's).", show_default=False)
]
_To = Annotated[str | None, typer.Option("--to", help="Before this time.", show_default=False)]
_Subject = Annotated[
    str | None, typer.Option(help="Only of this subject, like episode:4711 or device:NB-1.", show_default=False)
]
_Actor = Annotated[str | None, typer.Option("--actor", help="Only of this actor.", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@audit.command("show")
def show(
    subject: _Subject = None,
    who: _Actor = None,
    action: Annotated[
        str | None, typer.Option(help="Only this action, like alarm.acknowledge.", show_default=False)
    ] = None,
    from_: _From = None,
    to: _To = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="The newest so many.")] = 50,
    as_json: _Json = False,
) -> None:
    """Show the last acts, the newest first."""
    acts = Acts(who, action, subject, _moment("from", from_), _moment("to", to))
    with connect_migrated("audit") as connection:
        rows = listed(connection, acts, limit=limit)
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=_plain))
        return
    table = Table("序号", "时间", "操作人", "操作", "对象", Column("详情", overflow="fold"), "封存")
    for row in rows:
        detail = json.dumps(row["detail"], ensure_ascii=False) if row["detail"] else ""
        cells = (str(row["audit_key"]), _shown(row["at"]), row["actor"], row["action"], row["subject"], detail)
        table.add_row(*map(Text, cells), "✓" if row["seal"] else "")
    out.print(table)


@audit.command("verify")
def verify_log(
    from_: _From = None,
    to: _To = None,
    head: Annotated[
        str | None,
        typer.Option(help="A head that was noted elsewhere, NUMBER:HASH; it must be in the chain.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Prove an exported file instead; needs no database.", show_default=False)
    ] = None,
    as_json: _Json = False,
) -> None:
    """Walk the chain of seals, and name the first link that is broken. Exit code 1 if there is one.

    Note the head that it prints somewhere else: with it, `--head` finds out later whether anything before was changed,
    or the end cut off.
    """
    if file is not None:
        if from_ is not None or to is not None or head is not None:
            raise typer.BadParameter("--file: stands alone")
        _verify_file(file, as_json)
        return
    noted = None
    if head is not None:
        try:
            noted = Head.parse(head)
        except ValueError as error:
            raise typer.BadParameter(f"--head: {error}") from None
    since, until = _moment("from", from_), _moment("to", to)
    with connect_migrated("audit") as connection:
        verdict = verify(connection, now=CLOCK.now(), since=since, until=until, noted=noted)
    newest = str(verdict.head) if verdict.head is not None else None
    _tell(verdict.sealed, verdict.unsealed, newest, verdict.broken, as_json=as_json)


@audit.command("export")
def export_log(
    file: Annotated[Path, typer.Argument(help="A new file, .csv or .jsonl.", show_default=False)],
    from_: _From = None,
    to: _To = None,
    subject: _Subject = None,
    who: _Actor = None,
    as_json: _Json = False,
) -> None:
    """Write acts with their seals to a file for an inspector. `underfoot audit verify --file FILE` proves it."""
    since, until = _moment("from", from_), _moment("to", to)
    with _explained():
        kind_of(file)
        with connect_migrated("audit") as connection, one_view(connection):
            stretch = stretch_of(connection, since, until)
            done = export(connection, file, stretch, subject=subject, actor=who)
        _note_export(file, asdict(done.title) | {"sha256": done.sha256})
    if as_json:
        typer.echo(json.dumps(asdict(done), ensure_ascii=False, indent=2))
        return
    out.print(f"{file}: {done.title.rows} rows, {done.title.sealed} of them sealed.", highlight=False, soft_wrap=True)
    out.print(f"head    {done.title.head or 'none'}", highlight=False, soft_wrap=True)
    out.print(f"SHA-256 {done.sha256}", highlight=False, soft_wrap=True)


@audit.command("grant")
def grant(
    role: Annotated[str, typer.Argument(help="A role of the database that services log in with.", show_default=False)],
    as_json: _Json = False,
) -> None:
    """Let a role do all that services do, and no more: of the audit log it reads, and adds to it.

    Refused where the role could do more by other rights that it has.
    """
    with _explained(), connect_migrated("audit") as connection:
        let_serve(connection, role, actor=actor())
    if as_json:
        typer.echo(json.dumps({"role": role}))
        return
    out.print(f"{role}: may run services; it can't change or remove audit rows.", highlight=False, soft_wrap=True)


def _note_export(file: Path, detail: dict[str, Any]) -> None:
    """Who took the log out of the house is in it, too."""
    with connect_migrated("audit") as connection:
        enter(connection, actor(), "audit.export", f"file:{file.name}", detail)


def _verify_file(file: Path, as_json: bool) -> None:
    with _explained():
        proof = prove(file)
    _tell(proof.sealed, proof.unsealed, proof.title.head, proof.broken, as_json=as_json)


def _tell(sealed: int, unsealed: int, head: str | None, broken: Broken | None, *, as_json: bool) -> None:
    if as_json:
        found = {"sealed": sealed, "unsealed": unsealed, "head": head, "broken": asdict(broken) if broken else None}
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    elif broken is not None:
        err.print(Text(f"Row {broken.audit_key} ({broken.kind}): {broken.message}.", style="red"), soft_wrap=True)
        err.print(f"{sealed} rows before it are as they were sealed.", highlight=False, soft_wrap=True)
    else:
        out.print(f"{sealed} rows are as they were sealed; {unsealed} wait for their seal.", highlight=False)
        out.print(f"head {head or 'none'}", highlight=False, soft_wrap=True)
    if broken is not None:
        raise typer.Exit(1)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (AuditFileError, ServicesError, OSError) as error:
        err.print(Text(str(error), style="red"), soft_wrap=True)
        raise typer.Exit(2) from None


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return read_moment(text)
    except ValueError as error:
        raise typer.BadParameter(f"--{option}: {error}") from None


def _shown(moment: datetime) -> str:
    return moment.astimezone(CITY_ZONE).strftime("%Y-%m-%d %H:%M:%S")


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)

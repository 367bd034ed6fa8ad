"""`underfoot quarantine …`: what could not be understood, and putting it through once the mistake is mended."""

from __future__ import annotations

import getpass
import json
from base64 import b64encode
from datetime import datetime
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from ingest.reasons import MEANING, Rejection
from underfoot import quarantine as store
from underfoot.city_time import CITY_ZONE, read_moment
from underfoot.quarantine import Selection
from underfoot.settings import load
from underfoot.storage.connect import Connection, connect

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
quarantine = typer.Typer(
    no_args_is_help=True, help="Quarantine (隔离区): what could not be understood; look at it, replay it."
)
commands.add_typer(quarantine, name="quarantine")

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_Reason = Annotated[str | None, typer.Option(help="Only for this reason.", show_default="all")]
_Source = Annotated[
    Literal["mqtt", "http", "sl651"] | None, typer.Option(help="Only what came this way.", show_default="all")
]
_Vendor = Annotated[str | None, typer.Option(help="Only of this vendor.", show_default="all")]
_Device = Annotated[
    list[str] | None, typer.Option("--device", help="Only of this device_id. Repeatable.", show_default="all")
]
_Since = Annotated[
    str | None, typer.Option(help="Only what came since, e.g. 2026-07-01 or 2026-07-01T21:38 (the city's time).")
]
_Until = Annotated[str | None, typer.Option(help="… and before.")]
_State = Annotated[
    Literal["waiting", "released", "all"],
    typer.Option(help="waiting: not understood yet; released: a replay was understood."),
]


@quarantine.command("list")
def list_messages(
    reason: _Reason = None,
    source: _Source = None,
    vendor: _Vendor = None,
    device: _Device = None,
    since: _Since = None,
    until: _Until = None,
    state: _State = "waiting",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: _Json = False,
) -> None:
    """List messages without their payload, newest first."""
    selection = _selection(reason, source, vendor, device, since, until)
    with _connect() as connection:
        rows = store.listed(connection, selection, state=state, limit=limit)
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=_plain))
        return
    titles = ("key", "收到 received", "来源", "厂商", "设备", "reason", "detail", "bytes", "replays")
    table = Table(*(Column(title, overflow="fold") for title in titles))
    for row in rows:
        cells = (
            str(row["quarantine_key"]),
            _when(row["received_at"]),
            row["source"],
            row["vendor"],
            row["device_id"] or "",
            row["reason"],
            row["detail"][:120],
            str(row["bytes"]),
            f"{row['replays']}" + (" 已通过" if row["released_at"] is not None else ""),
        )
        table.add_row(*(Text(cell) for cell in cells))
    out.print(table)


@quarantine.command("counts")
def count_messages(
    reason: _Reason = None,
    source: _Source = None,
    vendor: _Vendor = None,
    device: _Device = None,
    since: _Since = None,
    until: _Until = None,
    state: _State = "waiting",
    as_json: _Json = False,
) -> None:
    """Say how many there are by reason, source and vendor, the most frequent first."""
    selection = _selection(reason, source, vendor, device, since, until)
    with _connect() as connection:
        rows = store.counts(connection, selection, state=state)
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=_plain))
        return
    table = Table("reason", "来源", "厂商", "条数", "最早", "最近", "meaning")
    for row in rows:
        known = row["reason"] in Rejection.__members__.values()
        cells = (
            row["reason"],
            row["source"],
            row["vendor"],
            f"{row['messages']:,}",
            _when(row["oldest"]),
            _when(row["newest"]),
            MEANING[Rejection(row["reason"])] if known else "",
        )
        table.add_row(*(Text(cell) for cell in cells))
    out.print(table)


@quarantine.command("show")
def show_message(
    key: Annotated[int, typer.Argument(min=1, help="Its key, as `quarantine list` shows it.", show_default=False)],
    as_json: _Json = False,
) -> None:
    """Show one message whole: as text where it is UTF-8, else in hexadecimal."""
    with _connect() as connection:
        row = store.shown(connection, key)
    if row is None:
        raise typer.BadParameter(f"{key}: there is no such message in quarantine")
    payload: bytes = row.pop("payload")
    text = _as_text(payload)
    if as_json:
        whole = row | {"payload_text": text, "payload_base64": b64encode(payload).decode()}
        typer.echo(json.dumps(whole, ensure_ascii=False, indent=2, default=_plain))
        return
    for name, value in row.items():
        shown = _when(value) if isinstance(value, datetime) else "" if value is None else str(value)
        out.print(Text(f"{name:>14}  {shown}"), soft_wrap=True)
    # A payload may hold anything: no escape sequence of it reaches the terminal.
    visible = (
        payload.hex(" ")
        if text is None
        else "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    )
    out.print(Text(visible), soft_wrap=True)


@quarantine.command("replay")
def replay_messages(
    keys: Annotated[list[int] | None, typer.Option("--key", min=1, help="Only this one. Repeatable.")] = None,
    reason: _Reason = None,
    source: _Source = None,
    vendor: _Vendor = None,
    device: _Device = None,
    since: _Since = None,
    until: _Until = None,
    everything: Annotated[bool, typer.Option("--all", help="Everything that waits.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be replayed.")] = False,
    as_json: _Json = False,
) -> None:
    """Put messages through once more, their mistake being mended: a mapping, the ledger, a gateway's binding.

    Their own bytes go to the inbox with their time of receipt, oldest first. What is understood now leaves quarantine;
    what is not stays, with its new reason. Again is safe: what is under way or has passed is not posted twice.
    """
    selection = _selection(reason, source, vendor, device, since, until, keys)
    if selection == Selection() and not everything:
        raise typer.BadParameter("say which: --reason, --source, --vendor, --device, --since, --until, --key; or --all")
    with _connect() as connection:
        if dry_run:
            found = store.to_replay(connection, selection)
            posted = found.matching - found.under_way
        else:
            with _bar(quiet=as_json) as bar:
                task = bar.add_task("replay", total=None)
                found = store.replay(
                    connection,
                    selection,
                    actor=f"cli:{getpass.getuser()}",
                    progress=lambda done: bar.update(task, completed=done),
                )
            posted = found.posted
    if as_json:
        counted = {"matching": found.matching, "under_way": found.under_way, "posted": posted, "dry_run": dry_run}
        typer.echo(json.dumps(counted))
        return
    done = "将回放 would be replayed" if dry_run else "已回放 replayed"
    out.print(
        f"符合 matching {found.matching:,}，处理中 under way {found.under_way:,}，{done} {posted:,}", highlight=False
    )


def _selection(
    reason: str | None,
    source: str | None,
    vendor: str | None,
    devices: list[str] | None,
    since: str | None,
    until: str | None,
    keys: list[int] | None = None,
) -> Selection:
    return Selection(
        reason=reason,
        source=source,
        vendor=vendor,
        device_ids=devices or None,
        since=_moment("since", since),
        until=_moment("until", until),
        quarantine_keys=keys or None,
    )


def _moment(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else read_moment(text)
    except ValueError as error:
        raise typer.BadParameter(f"--{option} {error}") from None


def _as_text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _bar(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,}", markup=False),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    )


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(CITY_ZONE):%Y-%m-%d %H:%M:%S}"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _connect() -> Connection:
    return connect(load().require_database(), "cli", autocommit=True)

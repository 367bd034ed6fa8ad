"""`underfoot sinks …` and `underfoot outbox …`: who is told, and what became of what is owed."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.channels import ChannelError, channel, channel_names
from alerts.channels.interface import BadMessage, Delivered, Retry, SinkFailure
from alerts.deliver import sinks as sink_store
from alerts.deliver.outbox import Audience
from alerts.deliver.sinks import Sink, SinkError
from alerts.deliver.verdict import VERDICT_LABELS, Verdict
from alerts.duty.shifts import Quiet
from alerts.telling.explain import NoSuchAlarmError, explain
from underfoot.alarms import Severity
from underfoot.city_time import CITY_ZONE, read_moment
from underfoot.clock import CLOCK
from underfoot.plain_yaml import read_yaml
from underfoot.settings import load
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import statement
from underfoot.terminal import actor

out = Console()
err = Console(stderr=True)

_MOST_BYTES = 256 * 1024

commands = typer.Typer()
sinks = typer.Typer(
    no_args_is_help=True, help="Who is told (推送目标): the city's platform, crews' robots, mail, webhooks."
)
outbox = typer.Typer(no_args_is_help=True, help="What is owed to sinks (推送): look at it, replay dead letters.")
commands.add_typer(sinks, name="sinks")
commands.add_typer(outbox, name="outbox")

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_Name = Annotated[str, typer.Argument(help="The sink's name: letters, digits, - and _.", show_default=False)]


@sinks.command("channels")
def sinks_channels(as_json: _Json = False) -> None:
    """List the channels, and what can be set for a sink of each."""
    settings = [
        {
            "channel": name,
            "label": channel(name).label,
            "setting": setting,
            "required": field.is_required(),
            "meaning": field.description or "",
        }
        for name in channel_names()
        for setting, field in channel(name).config.model_fields.items()
    ]
    if as_json:
        typer.echo(json.dumps(settings, ensure_ascii=False, indent=2))
        return
    table = Table("channel", "", "setting", "", "meaning")
    seen: set[object] = set()
    for row in settings:
        first = row["channel"] not in seen
        seen.add(row["channel"])
        table.add_row(
            str(row["channel"]) if first else "",
            str(row["label"]) if first else "",
            str(row["setting"]),
            "required" if row["required"] else "",
            Text(str(row["meaning"])),
        )
    out.print(table)


@sinks.command("add")
def sinks_add(
    name: _Name,
    channel_name: Annotated[
        str, typer.Option("--channel", help="By which channel: see `underfoot sinks channels`.", show_default=False)
    ],
    audience: Annotated[
        Audience,
        typer.Option(
            help="platform: every notice of alarms that are cases. crew: alarms of its maintenance unit, and their end."
            " duty: one person of the roster, told when nobody has answered (docs/duty.md). upward: the province's or"
            " the nation's platform, told the steps of cases and the days' indicators (docs/upward.md)."
        ),
    ] = "crew",
    unit: Annotated[
        str | None,
        typer.Option(help="The crew's maintenance unit (养护单位).", show_default="units without a sink of their own"),
    ] = None,
    owner: Annotated[
        str | None,
        typer.Option(help="The owner unit (权属单位) of whose assets it is told where no crew of the unit is."),
    ] = None,
    area: Annotated[
        str | None, typer.Option(help="Code of the area within which it is told where neither unit has a sink.")
    ] = None,
    min_severity: Annotated[
        Literal["blue", "yellow", "orange", "red"] | None,
        typer.Option(help="Least severity that is told.", show_default="orange for crews, else blue"),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the channel, NAME=VALUE; a list or an object is JSON. Repeatable."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="A JSON or YAML file with the settings, so that secrets stay out of the shell's history."),
    ] = None,
    quiet: Annotated[
        list[str] | None,
        typer.Option(
            help='When it is told of red only, e.g. "22:00-07:00", or "22:00-07:00 workday" (holiday; 6,7). Repeatable.'
        ),
    ] = None,
    bundle: Annotated[
        float | None,
        typer.Option(help="Seconds that what is not red waits for company: one message for ten lamps on a cabinet."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give a known sink these settings instead (a new token, say).")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Add somebody who is told: a robot in a crew's group, a mailbox, a webhook, the city's platform.

    For example: underfoot sinks add paishui --channel wecom --unit 排水管理所 --set url=https://…/send?key=…
    """
    least = Severity[min_severity] if min_severity else (Severity.orange if audience == "crew" else Severity.blue)
    settings, spans = _config(config, setting or []), tuple(map(_quiet, quiet or []))
    sink = Sink(name, channel_name, audience, unit, least, settings, owner, area, bundle, spans)
    with _connect() as connection:
        try:
            done = sink_store.add(connection, sink, actor=actor(), replace=replace)
        except (ChannelError, SinkError) as error:
            raise _wrong(error) from None
    if as_json:
        typer.echo(json.dumps({"sink": name, "done": done}))
    else:
        out.print(f"Sink {name} {done}. `underfoot sinks test {name}` sends it a test message.")


@sinks.command("list")
def sinks_list(as_json: _Json = False) -> None:
    """List every sink: where it goes, whether it works, what it is owed. Secrets are not shown."""
    with _connect() as connection:
        rows = sink_store.listed(connection)
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=_plain))
        return
    table = Table(
        "sink", "channel", "audience", "for", "from", "place", "a minute", "quiet", "state", "owed", "dead", "error"
    )
    for row in rows:
        table.add_row(
            row["name"],
            row["channel"],
            row["audience"],
            _for(row),
            Severity(row["min_severity"]).label,
            Text(row["place"]),
            f"{row['sent_last_minute']}/{row['per_minute']}" if row["per_minute"] is not None else "",
            ", ".join(row["quiet"]),
            row["state"],
            _owed(row),
            str(row["dead"]),
            Text(row["last_error"] or ""),
        )
    out.print(table)


@sinks.command("remove")
def sinks_remove(
    name: _Name,
    drop_owed: Annotated[bool, typer.Option("--drop-owed", help="Give up what it is still owed.")] = False,
    as_json: _Json = False,
) -> None:
    """Take a sink out of use. What it was told stays on record."""
    with _connect() as connection:
        try:
            done = sink_store.remove(connection, name, actor=actor(), drop_owed=drop_owed)
        except SinkError as error:
            raise _wrong(error) from None
    if as_json:
        typer.echo(json.dumps({"sink": name, "done": done}))
    else:
        out.print(f"Sink {name} {done}." + (" Its deliveries stay on record." if done == "disabled" else ""))


@sinks.command("test")
def sinks_test(name: _Name, as_json: _Json = False) -> None:
    """Send a sink a message that says it is a test, and tell what it answered. A platform files it as an event."""
    settings = load()
    with _connect() as connection:
        try:
            outcome = sink_store.test(
                connection,
                name,
                link=settings.api_url,
                timeout_s=settings.delivery_timeout_s,
                actor=actor(),
            )
        except (ChannelError, SinkError) as error:
            raise _wrong(error) from None
    match outcome:
        case Delivered(receipt):
            said, good = f"taken: {json.dumps(receipt, ensure_ascii=False, default=str)}", True
        case Retry(why):
            said, good = f"not taken this time: {why}", False
        case SinkFailure(why):
            said, good = f"the sink's settings are wrong, or it refuses us: {why}", False
        case BadMessage(why):
            said, good = f"the message was refused: {why}", False
    if as_json:
        typer.echo(json.dumps({"sink": name, "taken": good, "said": said}, ensure_ascii=False))
    else:
        (out if good else err).print(Text(f"{name}: {said}", style="green" if good else "red"))
    if not good:
        raise typer.Exit(1)


@outbox.command("list")
def outbox_list(
    state: Annotated[
        Literal["owed", "delivered", "dead", "dropped"] | None,
        typer.Option(help="Only in this state.", show_default="all"),
    ] = None,
    sink: Annotated[str | None, typer.Option(help="Only for this sink.", show_default="all")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only made since, e.g. 2026-07-01 or 2026-07-01T21:38 (the city's time).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: _Json = False,
) -> None:
    """List deliveries, newest first."""
    given = {"state": state, "sink": sink, "since": _moment("since", since), "limit": limit}
    with _connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("outbox.list_deliveries"), given).fetchall()
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=_plain))
        return
    table = Table("id", "made", "sink", "notice", "", "alarm", "state", "tries", "why")
    for row in rows:
        why = row["last_error"] if row["state"] in ("owed", "dead") else ""
        if row["verdict"] is not None and row["state"] != "delivered":
            verdict = Verdict(row["verdict"])
            why = why or (VERDICT_LABELS[verdict] if verdict is not Verdict.tell else "")
        table.add_row(
            str(row["delivery_key"]),
            f"{row['created_at'].astimezone(CITY_ZONE):%m-%d %H:%M:%S}",
            row["sink"] + (" (alternate)" if row["alternate_of"] is not None else ""),
            row["notice"],
            Severity(row["severity"]).label,
            Text(f"{row['title']} {row['asset']}"),
            row["state"],
            str(row["attempts"]),
            Text(why or ""),
        )
    out.print(table)


@outbox.command("replay")
def outbox_replay(
    ids: Annotated[
        list[int] | None, typer.Argument(help="Ids of dead deliveries, as `outbox list --state dead` shows them.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Or: all that died since (the city's time).")] = None,
    until: Annotated[str | None, typer.Option(help="… and before.")] = None,
    sink: Annotated[str | None, typer.Option(help="Of them, only this sink's.")] = None,
    as_json: _Json = False,
) -> None:
    """Owe dead letters again, under the same keys: a receiver that has one after all will know it."""
    if not ids and since is None:
        raise typer.BadParameter("say which: ids, or --since TIME")
    given = {
        "delivery_keys": ids or None,
        "since": _moment("since", since),
        "until": _moment("until", until),
        "sink": sink,
    }
    with _connect() as connection, connection.transaction():
        if ids:
            _all_dead(connection, ids)
        replayed = sorted(row[0] for row in connection.execute(statement("outbox.replay"), given))
        if replayed:
            detail = {"deliveries": replayed[:1000], "count": len(replayed)}
            connection.execute(
                statement("ledger.audit"),
                {"actor": actor(), "action": "outbox.replay", "subject": "outbox", "detail": Jsonb(detail)},
            )
            connection.execute("SELECT pg_notify('underfoot_outbox', '')")
    if as_json:
        typer.echo(json.dumps({"replayed": replayed}))
    else:
        out.print(f"{len(replayed)} deliveries are owed again.")


def _all_dead(connection: Connection, ids: list[int]) -> None:
    rows = connection.execute(statement("outbox.states_of"), {"delivery_keys": ids}).fetchall()
    states: dict[int, str] = dict(rows)
    for number in ids:
        state = states.get(number)
        if state != "dead":
            what = "there is no such delivery" if state is None else f"it is {state}, not dead"
            raise typer.BadParameter(f"{number}: {what}; nothing was replayed")


@sinks.command("route")
def sinks_route(
    alarm: Annotated[int, typer.Option(help="The alarm's number, as in the list of alarms.", show_default=False)],
    as_json: _Json = False,
) -> None:
    """Explain who is told of an alarm, and why: 谁会收到这条告警，为什么。"""
    with _connect() as connection:
        try:
            said = explain(connection, alarm)
        except NoSuchAlarmError as error:
            raise _wrong(error) from None
    if as_json:
        typer.echo(json.dumps(asdict(said), ensure_ascii=False, indent=2))
    else:
        for line in said.lines():
            out.print(Text(line), soft_wrap=True)


def _quiet(text: str) -> Quiet:
    try:
        return Quiet.parsed(text)
    except ValidationError as error:
        why = "; ".join(str(item["msg"]).removeprefix("Value error, ") for item in error.errors())
        raise typer.BadParameter(
            f"--quiet {text!r}: a span like 22:00-07:00 or 22:00-07:00 workday is needed: {why}"
        ) from None


def _for(row: dict[str, Any]) -> str:
    """What a crew's sink is for."""
    parts = {"养护": row["maintenance_unit"], "权属": row["owner_unit"], "区域": row["area_code"]}
    shown = "，".join(f"{name} {value}" for name, value in parts.items() if value)
    return shown or ("其余" if row["audience"] == "crew" else "")


def _config(file: Path | None, settings: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if file is not None:
        try:
            text = file.read_bytes()
            yaml = file.suffix in (".yaml", ".yml")
            config = read_yaml(text, str(file), at_most=_MOST_BYTES).value if yaml else json.loads(text)
        except (OSError, ValueError) as error:
            raise typer.BadParameter(f"--config {file}: {error}") from None
        if not isinstance(config, dict):
            raise typer.BadParameter(f"--config {file}: settings by name (a JSON object, or YAML) are needed")
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"--set {name}: NAME=VALUE is needed")
        config[name] = _value(value)
    return config


def _value(text: str) -> Any:
    """Lists and objects are JSON; anything else is text, which the channel takes for what it needs."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--set {text}: not JSON: {error}") from None


def _moment(option: str, text: str | None) -> datetime | None:
    try:
        return None if text is None else read_moment(text)
    except ValueError as error:
        raise typer.BadParameter(f"--{option} {error}") from None


def _owed(row: dict[str, Any]) -> str:
    if not row["owed"]:
        return "0"
    age = int((CLOCK.now() - row["oldest_owed"]).total_seconds())
    return f"{row['owed']} (oldest {age // 60} min)" if age >= 60 else str(row["owed"])


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _wrong(error: Exception) -> typer.BadParameter:
    return typer.BadParameter(str(error))


def _connect() -> Connection:
    return connect(load().require_database(), "cli", autocommit=True)

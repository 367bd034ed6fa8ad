"""`underfoot codec …`: how a vendor's messages are read. Look, try, put in force, withdraw."""

from __future__ import annotations

import base64
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import psycopg
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ingest.codecs import mappings
from ingest.codecs.contract import Codec
from ingest.codecs.mapping import BUILT_IN, Mapping, MappingError
from ingest.codecs.table import Codecs
from ingest.codecs.trial import outcome
from ingest.codecs.yaml_file import read_mapping
from underfoot.city_time import CITY_ZONE, read_moment
from underfoot.clock import CLOCK
from underfoot.families import FAMILIES
from underfoot.plain_yaml import write_yaml
from underfoot.reports import microseconds
from underfoot.settings import load
from underfoot.storage.connect import Connection, connect
from underfoot.terminal import actor

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
codec = typer.Typer(no_args_is_help=True, help="How messages are read (解码): our own forms, and vendors' mappings.")
commands.add_typer(codec, name="codec")

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_Source = Annotated[
    str, typer.Argument(metavar="FILE|NAME", help="A mapping's file, or one that ships.", show_default=False)
]


@codec.command("list")
def codec_list(as_json: _Json = False) -> None:
    """List the mappings that ship, and those in force."""
    rows = {name: _row(mapping) | {"ships": True} for name, mapping in mappings.shipped().items()}
    for entry in _in_force(as_json):
        row = rows.setdefault(entry.mapping.name, {"ships": False})
        row |= _row(entry.mapping) | {
            "version": entry.version,
            "since": entry.created_at.isoformat(),
            "by": entry.created_by,
        }
    if as_json:
        _print_json([{"name": name, **row} for name, row in sorted(rows.items())])
        return
    table = Table("name", "", "comes by", "in force", "ships")
    for name, row in sorted(rows.items()):
        since = f"v{row['version']} {_local(row['since'])}" if "version" in row else "–"
        ways = [*row["topics"], *([f"HTTP http/{name}"] if row["http"] else [])] or ["report topics, by the ledger"]
        title = Text(row["title"]) if "problem" not in row else Text(row["problem"], style="red")
        table.add_row(name, title, Text("\n".join(ways)), since, "yes" if row["ships"] else "")
    out.print(table)


@codec.command("show")
def codec_show(
    name: Annotated[str, typer.Argument(help="A mapping's name.", show_default=False)],
    shipped: Annotated[
        bool, typer.Option("--shipped", help="The file that ships, also where another is in force.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Print a mapping: the one in force, else the one that ships. To write your own, start from such a file."""
    if not shipped:
        found = [entry for entry in _in_force(as_json) if entry.mapping.name == name]
        if found:
            _show_in_force(found[0], as_json)
            return
    if name not in mappings.shipped():
        _fail(MappingError(f"{name}: no such mapping; `underfoot codec list` shows them"), as_json)
    if as_json:
        _print_json({"name": name, "version": None, "mapping": mappings.shipped()[name].body})
    else:
        typer.echo(mappings.shipped_text(name), nl=False)


def _show_in_force(entry: mappings.InForce, as_json: bool) -> None:
    if not isinstance(entry.mapping, Mapping):
        _fail(MappingError(entry.mapping.problem), as_json)
    body = entry.mapping.body
    if as_json:
        _print_json({"name": entry.mapping.name, "version": entry.version, "mapping": body})
        return
    typer.echo(f"# in force: version {entry.version}, by {entry.created_by}")
    typer.echo(write_yaml(body), nl=False)


@codec.command("try")
def codec_try(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME",
            help=f"A mapping's file, one that ships, or one of {', '.join(BUILT_IN)}.",
            show_default=False,
        ),
    ],
    payload: Annotated[
        str, typer.Argument(help="The message, @FILE with it, or @- for the input.", show_default=False)
    ],
    topic: Annotated[str | None, typer.Option(help="Under which it comes.", show_default="http/NAME over HTTP")] = None,
    is_hex: Annotated[bool, typer.Option("--hex", help="The message is written in hexadecimal.")] = False,
    is_base64: Annotated[bool, typer.Option("--base64", help="The message is written in base64.")] = False,
    family: Annotated[
        str | None, typer.Option(help="The device's family, where the message does not say it.", show_default="unknown")
    ] = None,
    received: Annotated[
        str | None,
        typer.Option(help="As if it came then, e.g. 2026-07-01T12:00 (the city's time).", show_default="now"),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show what would become of a message: its reports as they would be stored, what is set aside, what is refused.

    Needs no database. For example:
    underfoot codec try mqtt-well-status '{"tilt": 22.4, "status": "abnormal"}' --topic /city/410500/well/status/WF-0312

    Ends with 1 where a part of the message is refused.
    """
    if family is not None and family not in FAMILIES:
        raise typer.BadParameter(f"{family!r}: one of {', '.join(FAMILIES)}", param_hint="--family")
    content = _bytes(payload, is_hex=is_hex, is_base64=is_base64)
    try:
        chosen, under = _codec(source, topic)
    except MappingError as error:
        _fail(error, as_json)
    parts = outcome(chosen, under, content, received_us=_received(received), family=family)
    if as_json:
        _print_json({"topic": under, "bytes": len(content), "parts": parts})
    else:
        for number, part in enumerate(parts, start=1):
            _print_part(number, len(parts), part)
    if not all(part["stored"] for part in parts):
        raise typer.Exit(1)


@codec.command("add")
def codec_add(source: _Source, as_json: _Json = False) -> None:
    """Put a mapping in force, as its name's next version. What runs uses it within seconds."""
    try:
        mapping = _mapping(source)
        with _connect() as connection:
            version = mappings.add(connection, mapping, actor=actor())
    except MappingError as error:
        _fail(error, as_json)
    if as_json:
        _print_json({"name": mapping.name, "version": version, "changed": version is not None})
    elif version is None:
        out.print(f"{mapping.name} is in force as it is; nothing was changed.")
    else:
        ways = [*mapping.filters, *([f"HTTP http/{mapping.name}"] if mapping.http else [])]
        where = f", on {', '.join(ways)}" if ways else ": name it as the codec of its devices in the ledger"
        out.print(Text(f"{mapping.name} version {version} is in force{where}."))


@codec.command("withdraw")
def codec_withdraw(
    name: Annotated[str, typer.Argument(help="A mapping in force.", show_default=False)], as_json: _Json = False
) -> None:
    """Take a mapping out of force. Its messages are no longer received; what they said stays."""
    try:
        with _connect() as connection:
            version = mappings.withdraw(connection, name, actor=actor())
    except MappingError as error:
        _fail(error, as_json)
    if as_json:
        _print_json({"name": name, "version": version, "withdrawn": True})
    else:
        out.print(f"{name} is withdrawn.")


# what was asked for -------------------------------------------------------------------------------------------------


def _mapping(source: str) -> Mapping:
    if Path(source).is_file():
        return read_mapping(Path(source))
    if source in mappings.shipped():
        return mappings.shipped()[source]
    raise MappingError(f"{source}: neither a file nor a mapping that ships ({', '.join(mappings.shipped())})")


def _codec(source: str, topic: str | None) -> tuple[Codec, str]:
    """The codec, and the topic to try it under."""
    if source in BUILT_IN and not Path(source).is_file():
        if topic is None:
            raise MappingError(f"{source}: --topic is needed, like {_LIKE[source]}")
        found = Codecs().of(topic, source if source in ("json", "cbor") else None)
        if found is None:
            raise MappingError(f"--topic {topic}: not one of {source}, like {_LIKE[source]}")
        return found, topic
    mapping = _mapping(source)
    by_ledger = "underfoot/v1/410502/cover/DEVICE/report, of a device whose ledger names this codec"
    ways = [*mapping.topics, *([f"http/{mapping.name}"] if mapping.http else []), by_ledger]
    if topic is None and not mapping.http:
        raise MappingError(f"{mapping.name}: --topic is needed, like {' or '.join(ways)}")
    under = topic or f"http/{mapping.name}"
    found = Codecs([mapping]).of(under, mapping.name)
    if found is None or (under.startswith("underfoot/") and not under.endswith("/report")):
        raise MappingError(f"--topic {under}: not one of the mapping's, which are {' or '.join(ways)}")
    return found, under


_LIKE = {
    "json": "underfoot/v1/410502/cover/DEVICE/report",
    "cbor": "underfoot/v1/410502/cover/DEVICE/cbor",
    "gateway": "underfoot/v1/410502/gateway/GATEWAY/batch",
    "sl651": "sl651/STATION",
}


def _received(text: str | None) -> int:
    try:
        return CLOCK.now_us() if text is None else microseconds(read_moment(text))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--received") from None


def _bytes(given: str, *, is_hex: bool, is_base64: bool) -> bytes:
    if is_hex and is_base64:
        raise typer.BadParameter("--hex and --base64 exclude each other")
    if given == "@-":
        content = sys.stdin.buffer.read()
    elif given.startswith("@"):
        try:
            content = Path(given[1:]).read_bytes()
        except OSError as error:
            raise typer.BadParameter(f"{given}: cannot be read: {error.strerror}", param_hint="PAYLOAD") from None
    else:
        content = given.encode("utf-8", "surrogateescape")
    try:
        if is_hex:
            return bytes.fromhex(content.decode("ascii"))
        return base64.b64decode(b"".join(content.split()), validate=True) if is_base64 else content
    except ValueError as error:
        raise typer.BadParameter(
            f"not {'hexadecimal' if is_hex else 'base64'}: {error}", param_hint="PAYLOAD"
        ) from None


# what is told -------------------------------------------------------------------------------------------------------


def _row(mapping: Mapping | mappings.UnreadableMapping) -> dict[str, Any]:
    row: dict[str, Any] = {"topics": list(mapping.topics), "http": mapping.http, "shard": mapping.shard}
    if isinstance(mapping, Mapping):
        return row | {"title": mapping.title, "source": mapping.source}
    return row | {"title": "", "problem": mapping.problem}


def _print_part(number: int, count: int, part: dict[str, Any]) -> None:
    head = f"{number} of {count}: " if count > 1 else ""
    if not part["stored"]:
        out.print(Text(f"{head}refused, {part['reason']}", style="bold red"))
        if "meaning" in part:
            out.print(Text(f"  {part['meaning']}"))
        out.print(Text(f"  {part['detail']}"))
        return
    family = FAMILIES.get(part["family"] or "")
    kind = f"{family.name} {family.label}" if family is not None else str(part["family"] or "family of the ledger")
    out.print(Text(f"{head}report of {part['device_id']} ({kind})", style="bold green"))
    said = "" if part["device_ts"] is None else f": the device says {part['device_ts']!r}"
    mark = f"  [{part['time_mark']}{said}]" if part["time_mark"] else ""
    out.print(Text(f"  time  {_local(part['time'])}{mark}"))
    if part["seq"] is not None:
        out.print(Text(f"  seq   {part['seq']}"))
    for value in part.get("values", ()):
        out.print(Text(f"  {value['field']}  {value['label']} = {_compact(value['value'])} {value['unit']}".rstrip()))
    if "unjudged" in part:
        why = "give --family to see which are stored" if part["family"] is None else f"{part['family']} is no family"
        out.print(Text(f"  not judged ({why}): {_compact(part['unjudged'])}", style="yellow"))
    for field, given in part.get("set_aside", {}).items():
        out.print(Text(f"  set aside: {field} = {_compact(given)}", style="yellow"))
    if part.get("not_of_family"):
        out.print(Text(f"  kept beside, no field of the family: {_compact(part['not_of_family'])}", style="dim"))
    if "kept_beside" in part:
        out.print(Text(f"  kept beside: {_compact(part['kept_beside'])}", style="dim"))


def _local(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone(CITY_ZONE):%Y-%m-%d %H:%M:%S}"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _fail(error: MappingError, as_json: bool) -> NoReturn:
    if as_json:
        _print_json({"error": str(error)})
    else:
        err.print(Text(str(error), style="red"), soft_wrap=True)
    raise typer.Exit(1)


def _in_force(as_json: bool) -> list[mappings.InForce]:
    """What is in force; a person without a database is shown what ships."""
    if load().database_url is None:
        err.print("No database is set: what is in force is not known.", style="dim")
        return []
    try:
        with _connect() as connection:
            return mappings.in_force(connection)
    except psycopg.OperationalError as error:
        if as_json:
            raise
        err.print(
            Text(f"What is in force is not known; the database does not answer: {str(error).strip()}", style="red")
        )
        return []


def _connect() -> Connection:
    return connect(load().require_database(), "cli", autocommit=True)

"""`underfoot shards …`: who holds which shard, and which districts each has."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from ingest.division import read_division
from ingest.redivide import Change, ShardError, redivide, split_by_district
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement
from underfoot.terminal import actor, connect_migrated

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
shards = typer.Typer(
    no_args_is_help=True, help="Shards (分片): who holds them, which districts each has (docs/workers.md)."
)
commands.add_typer(shards, name="shards")

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_Wait = Annotated[
    float, typer.Option("--wait", min=0, help="Wait so long for districts that are on their way (seconds).")
]


@shards.command("list")
def list_shards(as_json: _Json = False) -> None:
    """Who holds each shard, how far it is, which districts and devices it has; and which are on their way."""
    with connect_migrated("shards") as connection:
        rows, workers, moves = _state(connection)
    if as_json:
        typer.echo(json.dumps({"shards": rows, "workers": workers, "moves": moves}, ensure_ascii=False, indent=2))
        return
    columns = ("分片", "持有者", "世代", "处理至", "设备", "区县", "订阅")
    table = Table(*(Column(title, overflow="fold") for title in columns))
    for row in rows:
        behind = "—" if row["caught_up_s"] is None else f"{row['caught_up_s']:.0f} 秒前"
        districts = "其余全部" if row["districts"] is None else "、".join(row["districts"]) or "—"
        cells = (
            row["shard"],
            row["holder"] if row["held"] else "无人",
            str(row["epoch"]),
            behind,
            str(row["devices"]),
            districts,
            str(len(row["filters"])),
        )
        table.add_row(*(Text(cell) for cell in cells))
    out.print(table)
    out.print(f"工作进程 · workers: {sum(worker['present'] for worker in workers)}", highlight=False)
    for move in moves:
        out.print(Text(f"{move['district']}：{move['from']} → {move['to']}，迁移中 · on its way"))


@shards.command("split")
def split(
    by: Annotated[Literal["district"], typer.Option("--by", help="Each district becomes a shard.")] = "district",
    wait_s: _Wait = 60.0,
    as_json: _Json = False,
) -> None:
    """Make a shard of each district of the ledger that is still with `main`, so that several ingests share the work.

    Nothing is lost, and reports stay in order, while districts move: docs/workers.md.
    """
    with connect_migrated("shards") as connection:
        try:
            change = split_by_district(connection, actor=actor())
        except ShardError as error:
            raise _wrong(error, as_json) from None
        _tell(connection, change, wait_s, as_json)


@shards.command("assign")
def assign(
    district: Annotated[str, typer.Argument(help="6-digit district, like 410502.", show_default=False)],
    shard: Annotated[str, typer.Argument(help="The shard that is to have it; made if new.", show_default=False)],
    wait_s: _Wait = 60.0,
    as_json: _Json = False,
) -> None:
    """Give a district and its devices to a shard. One that is on its way is called back by naming where it was."""
    with connect_migrated("shards") as connection:
        try:
            change = redivide(connection, {district: shard}, actor=actor())
        except ShardError as error:
            raise _wrong(error, as_json) from None
        _tell(connection, change, wait_s, as_json)


def _state(connection: Connection) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    division = read_division(connection)
    rows = [
        {
            "shard": shard,
            "held": division.shards[shard].locked,
            "holder": holder,
            "epoch": epoch,
            "caught_up_s": caught_up_s,
            "devices": devices,
            "districts": districts,
            "filters": filters,
            "session_known": session_known,
        }
        for shard, holder, epoch, districts, filters, session_known, caught_up_s, devices in connection.execute(
            statement("shard.list")
        )
    ]
    workers = [
        {"worker": name, "present": present, "may_hold": may_hold}
        for _, name, _, may_hold, present in connection.execute(statement("shard.workers"))
    ]
    moves = [
        {"district": district, "from": before, "to": after, "since": since.isoformat()}
        for district, before, after, since in connection.execute(statement("shard.moves"))
    ]
    connection.rollback()
    return rows, workers, moves


def _tell(connection: Connection, change: Change, wait_s: float, as_json: bool) -> None:
    until = time.monotonic() + wait_s
    on_their_way = _on_their_way(connection)
    while on_their_way and time.monotonic() < until:
        time.sleep(0.2)
        on_their_way = _on_their_way(connection)
    if as_json:
        typer.echo(json.dumps(asdict(change) | {"on_their_way": on_their_way}, ensure_ascii=False))
        return
    arrived = [district for district in change.moved + change.begun if district not in on_their_way]
    for label, districts in (
        ("已迁移 · moved", arrived),
        ("已召回 · called back", change.called_back),
        ("未变 · unchanged", change.unchanged),
        ("迁移中 · on their way", on_their_way),
    ):
        if districts:
            out.print(Text(f"{label}: {'、'.join(districts)}"))
    if on_their_way:
        out.print(
            "由运行中的 underfoot ingest 完成；`underfoot shards list` 可查看 ·"
            " the ingests that run carry it on; `underfoot shards list` shows it",
            highlight=False,
        )


def _on_their_way(connection: Connection) -> list[str]:
    found = [district for district, *_ in connection.execute(statement("shard.moves"))]
    connection.rollback()
    return found


def _wrong(error: ShardError, as_json: bool) -> typer.Exit:
    if as_json:
        typer.echo(json.dumps({"error": str(error)}, ensure_ascii=False))
    else:
        err.print(Text(str(error), style="red"))
    return typer.Exit(1)

"""`underfoot areas …` and `underfoot newcomers …`: who may wait for approval, and who is approved."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from underfoot.city_time import CITY_ZONE
from underfoot.families import FAMILIES
from underfoot.ledger import newcomers as newcomer_list
from underfoot.ledger.newcomers import Approved, NewcomerError, Placement
from underfoot.ledger.row import NATIONAL_SCHEME
from underfoot.settings import load
from underfoot.storage.connect import Connection, connect
from underfoot.terminal import actor

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
areas = typer.Typer(no_args_is_help=True, help="Areas (区域): whether unknown devices may wait there for approval.")
newcomers = typer.Typer(
    no_args_is_help=True,
    help="Newcomers (待登记设备): devices that report and are in no ledger; approve or refuse them.",
)
commands.add_typer(areas, name="areas")
commands.add_typer(newcomers, name="newcomers")

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_Family = Annotated[str | None, typer.Option(help=f"Only one of {', '.join(FAMILIES)}.", show_default="all")]
_Area = Annotated[str | None, typer.Option("--area", help="Only of this area and below it.", show_default="all")]
_Wide = Annotated[
    str | None, typer.Option("--all-of-area", help="Everyone who waits in this area and below it.", show_default=False)
]
_WORDS = {"on": True, "off": False, "inherit": None}


@areas.command("auto-register")
def auto_register(
    code: Annotated[str, typer.Argument(help="The area: 2, 4 or 6 digits.", show_default=False)],
    word: Annotated[
        Literal["on", "off", "inherit"] | None,
        typer.Argument(help="inherit: as the area above it. Without it, say what holds.", show_default=False),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Let unknown devices of an area and all below it wait for approval; the nearest area that says anything decides.

    What they report stays in quarantine until then. At most `underfoot settings` newcomers_per_area wait in a district.
    """
    try:
        with _connect() as connection:
            if word is None:
                found = newcomer_list.switch_of(connection, code)
            else:
                found = newcomer_list.switch(connection, code, _WORDS[word], actor=actor())
    except NewcomerError as error:
        raise typer.BadParameter(str(error)) from None
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    own = {True: "on", False: "off", None: "inherit"}[found.auto_register]
    holds = (
        "未登记设备可待审批 · unknown devices may wait" if found.in_force else "不收 · unknown devices are not listed"
    )
    out.print(f"{code}: {own}；{holds}", highlight=False)


@newcomers.command("list")
def list_newcomers(
    state: Annotated[Literal["waiting", "approved", "refused"], typer.Option(help="Only in this state.")] = "waiting",
    area: _Area = None,
    family: _Family = None,
    after: Annotated[str, typer.Option(help="Go on after this one: DISTRICT/DEVICE_ID.", show_default=False)] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    as_json: _Json = False,
) -> None:
    """List newcomers by district and id."""
    _check_family(family)
    district, _, device_id = after.partition("/")
    with _connect() as connection:
        rows = newcomer_list.listed(
            connection, state=state, area=area, family=family, after=(district, device_id), limit=limit + 1
        )
    more, rows = len(rows) > limit, rows[:limit]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=_plain))
        return
    titles = ("设备编号", "类别", "区县", "厂商", "网关", "来源", "首次", "最近", "上报数", "经办")
    table = Table(*(Column(title, overflow="fold") for title in titles))
    for row in rows:
        cells = (
            row["device_id"],
            FAMILIES[row["family"]].label,
            row["district"],
            row["vendor"],
            row["gateway_id"] or "",
            row["source"],
            _when(row["first_seen"]),
            _when(row["last_seen"]),
            str(row["reports"]),
            row["decided_by"] or "",
        )
        table.add_row(*(Text(cell) for cell in cells))
    out.print(table)
    if more:
        last = rows[-1]
        hint = f"还有更多 · there are more: --after {last['district']}/{last['device_id']}"
        out.print(hint, style="dim", highlight=False)


@newcomers.command("approve")
def approve(
    device_id: Annotated[str | None, typer.Argument(help="The device.", show_default=False)] = None,
    asset: Annotated[str | None, typer.Option(help="Code of the asset that it is on.", show_default=False)] = None,
    scheme: Annotated[str, typer.Option(help="The standard that the code follows.")] = NATIONAL_SCHEME,
    kind: Annotated[
        str | None,
        typer.Option(help="Or: kind of an asset to be made for it, like 0103 or 雨水井盖.", show_default=False),
    ] = None,
    area: Annotated[
        str | None,
        typer.Option(help="With --kind: the area that it stands in.", show_default="the district that its reports say"),
    ] = None,
    interval: Annotated[
        str | None, typer.Option(help="How often it reports: 900, 15min, 24h.", show_default="as its family does")
    ] = None,
    all_of_area: _Wide = None,
    family: _Family = None,
    as_json: _Json = False,
) -> None:
    """Put newcomers into the ledger, and replay what they have reported until now.

    For example: underfoot newcomers approve NB-00312 --asset 4105020103000312
    """
    _check_family(family)
    placement = Placement(asset, scheme, kind, area, interval)
    if (asset is None) == (kind is None):
        raise typer.BadParameter("say where it stands: either --asset CODE or --kind KIND")
    if area is not None and (asset is not None or all_of_area is not None):
        raise typer.BadParameter("--area goes with one device and --kind: elsewhere the area is known")
    try:
        with _connect() as connection:
            if _one(device_id, all_of_area, family):
                done = newcomer_list.approve(connection, str(device_id), placement, actor=actor())
            else:
                done = newcomer_list.approve_area(connection, str(all_of_area), placement, family=family, actor=actor())
    except NewcomerError as error:
        raise typer.BadParameter(str(error)) from None
    _print_approved(done, as_json)


@newcomers.command("refuse")
def refuse(
    device_ids: Annotated[list[str] | None, typer.Argument(help="The devices.", show_default=False)] = None,
    all_of_area: _Wide = None,
    family: _Family = None,
    as_json: _Json = False,
) -> None:
    """Refuse newcomers: they are not listed again, and what they report stays in quarantine."""
    _check_family(family)
    try:
        with _connect() as connection:
            if _one(device_ids, all_of_area, family):
                newcomer_list.refuse(connection, device_ids or [], actor=actor())
                done = device_ids or []
            else:
                done = newcomer_list.refuse_area(connection, str(all_of_area), family=family, actor=actor())
    except NewcomerError as error:
        raise typer.BadParameter(str(error)) from None
    if as_json:
        typer.echo(json.dumps({"refused": done}))
    else:
        out.print(f"已拒绝 · refused: {len(done)}", highlight=False)


def _one(named: object, all_of_area: str | None, family: str | None) -> bool:
    """Whether devices are named, rather than an area."""
    if bool(named) == (all_of_area is not None):
        raise typer.BadParameter("say which: a device's id, or --all-of-area CODE")
    if named and family is not None:
        raise typer.BadParameter("--family goes with --all-of-area")
    if all_of_area is not None and not (
        all_of_area.isascii() and all_of_area.isdigit() and len(all_of_area) in (2, 4, 6)
    ):
        raise typer.BadParameter(f"--all-of-area {all_of_area!r}: 2, 4 or 6 digits are needed")
    return bool(named)


def _check_family(family: str | None) -> None:
    if family is not None and family not in FAMILIES:
        raise typer.BadParameter(f"{family!r}: one of {', '.join(FAMILIES)}", param_hint="--family")


def _print_approved(done: Approved, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"approved": done.device_ids, "replayed": done.replayed}))
        return
    out.print(
        f"已登记 · approved: {len(done.device_ids)}；回放上报 · reports replayed: {done.replayed}", highlight=False
    )


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(CITY_ZONE):%Y-%m-%d %H:%M:%S}"


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _connect() -> Connection:
    return connect(load().require_database(), "cli", autocommit=True)

"""`underfoot devices …`: import the city's ledger, look at it, set what a device reads at rest."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from psycopg.rows import dict_row
from rich.table import Column, Table
from rich.text import Text

from underfoot.families import FAMILIES
from underfoot.ledger.baseline import set_baseline
from underfoot.ledger.columns import ASSETS, LedgerError
from underfoot.ledger.importer import ImportSummary, import_ledger
from underfoot.ledger.staging import Count
from underfoot.ledger.telling import AsJson, BadRows, DryRun, File, Sheet, SkipBad, fail, imported, out
from underfoot.storage.statements import statement
from underfoot.terminal import actor, connect_migrated

commands = typer.Typer()
devices = typer.Typer(no_args_is_help=True, help="The ledger (台账): areas, assets and the devices on them.")
commands.add_typer(devices, name="devices")


@devices.command("import")
def import_file(
    file: File,
    skip_bad: SkipBad = False,
    bad_rows: BadRows = None,
    sheet: Sheet = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Import a ledger of assets and devices. Importing it again updates what has changed.

    Columns, in English or Chinese (docs/ledger.md has all):
    device_id 设备编号, family 设备类别, area_code 区划代码,
    asset_code 部件编码, asset_name 部件名称, address 地址, lon 经度, lat 纬度,
    owner_unit 权属单位, maintenance_unit 养护单位,
    vendor 厂商, model 型号, expected_interval_s 上报间隔.

    A row without a device_id is an asset that has no sensor yet.

    Either the whole file is imported or nothing, unless --skip-bad is given.
    """
    summary = imported(
        import_ledger, ASSETS, file, skip_bad=skip_bad, bad_rows=bad_rows, sheet=sheet, dry_run=dry_run, as_json=as_json
    )
    if as_json:
        typer.echo(json.dumps(summary.as_dict(), ensure_ascii=False, indent=2))
    else:
        _print_summary(summary)


@devices.command("list")
def list_devices(
    family: Annotated[str | None, typer.Option(help=f"One of {', '.join(FAMILIES)}.", show_default=False)] = None,
    area: Annotated[str | None, typer.Option(help="Area code, e.g. 410502; all below it.", show_default=False)] = None,
    unit: Annotated[str | None, typer.Option(help="Maintenance unit 养护单位.", show_default=False)] = None,
    after: Annotated[str, typer.Option(help="Go on after this device_id.", show_default=False)] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List devices in the order of their ids."""
    if family is not None and family not in FAMILIES:
        raise typer.BadParameter(f"{family!r}: one of {', '.join(FAMILIES)}", param_hint="--family")
    wanted = {"family": family, "area": area, "unit": unit, "after": after, "limit": limit + 1}
    try:
        with connect_migrated("ledger") as connection, connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(statement("ledger.devices"), wanted).fetchall()
    except LedgerError as error:
        fail(error, as_json)
    more, rows = len(rows) > limit, rows[:limit]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=str))
        return
    titles = ("设备编号", "类别", "区划", "部件编码", "名称", "养护单位", "最近上报")
    table = Table(*(Column(title, overflow="fold") for title in titles))
    for row in rows:
        last = row["last_report_at"]
        table.add_row(
            *(
                Text(cell)
                for cell in (
                    row["device_id"],
                    FAMILIES[row["family"]].label,
                    f"{row['area_code']} {row['area_name']}",
                    row["asset_code"],
                    row["asset_name"],
                    row["maintenance_unit"],
                    last.astimezone().strftime("%Y-%m-%d %H:%M:%S") if last else "—",
                )
            )
        )
    out.print(table)
    if more:
        out.print(f"还有更多 · there are more: --after {rows[-1]['device_id']}", style="dim", highlight=False)


@devices.command("baseline")
def baseline(
    device_id: Annotated[str, typer.Argument(help="The device.", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FIELD=VALUE]...", help="E.g. tilt_deg=3.5; tilt_deg= removes it.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set what a device reads at rest, e.g. after maintenance; without a field, show it.

    Example: underfoot devices baseline WF-0312 tilt_deg=3.5
    """
    given = {}
    for change in changes or []:
        name, equals, value = change.partition("=")
        if not equals or not name:
            raise typer.BadParameter(f"{change!r}: a field and its value, like tilt_deg=3.5", param_hint="FIELD=VALUE")
        given[name] = value.strip()
    try:
        with connect_migrated("ledger") as connection:
            found = set_baseline(connection, device_id, given, actor=actor())
    except LedgerError as error:
        fail(error, as_json)
    if as_json:
        typer.echo(json.dumps({"device_id": device_id, "baseline": found}, ensure_ascii=False))
    else:
        shown = ", ".join(f"{name} = {value}" for name, value in found.items())
        out.print(Text(f"{device_id}：{shown or '无基准值 · no baseline'}"))


def _print_summary(summary: ImportSummary) -> None:
    counted: tuple[tuple[str, Count], ...] = (
        ("区域 areas", summary.areas),
        ("部件 assets", summary.assets),
        ("设备 devices", summary.devices),
    )
    table = Table("", "新增 new", "变更 changed", "未变 unchanged")
    for name, count in counted:
        table.add_row(name, *(f"{number:,}" for number in (count.new, count.changed, count.unchanged)))
    out.print(table)
    for move in summary.moved[:20]:
        what = f"部件 {move.asset_code_before} → {move.asset_code}"
        if move.district_before != move.district:
            what += f"，主题区划 {move.district_before} → {move.district} (its topic changes)"
        out.print(Text(f"移装 moved：{move.device_id} {what}", style="yellow"))
    if len(summary.moved) > 20:
        out.print(
            f"……共 {len(summary.moved)} 台移装 · {len(summary.moved)} moved in all", style="yellow", highlight=False
        )
    if summary.kept_as_attributes:
        out.print(Text(f"作为部件属性保留 · kept as attributes: {'、'.join(summary.kept_as_attributes)}", style="dim"))
    if summary.bad_rows:
        out.print(Text(f"{summary.bad_rows} 行有误，已写入 · bad rows are in {summary.bad_rows_file}", style="yellow"))
    done = "已导入 imported" if summary.committed else "仅检查，未更改 · checked only, nothing was changed"
    out.print(f"{done}：{summary.rows:,} 行 rows，{summary.seconds:.1f} s", highlight=False)

"""`underfoot pipes …`: import the city's drainage pipes, look at them, look over the network that they make."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer
from psycopg.rows import dict_row
from rich.table import Column, Table
from rich.text import Text

from underfoot.ledger.columns import LedgerError
from underfoot.ledger.pipe_row import PIPES
from underfoot.ledger.telling import AsJson, BadRows, DryRun, File, Sheet, SkipBad, err, fail, imported, out
from underfoot.storage.statements import statement
from underfoot.terminal import actor, connect_migrated

commands = typer.Typer()
pipes = typer.Typer(no_args_is_help=True, help="The pipes (管段) of the drainage network, from asset to asset.")
commands.add_typer(pipes, name="pipes")

KINDS = {"foul": "污水", "storm": "雨水"}
SHOWN_AT_MOST = 50


@pipes.command("import")
def import_file(
    file: File,
    skip_bad: SkipBad = False,
    bad_rows: BadRows = None,
    sheet: Sheet = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Import a ledger of pipes. Importing it again updates what has changed.

    Columns, in English or Chinese (docs/pipes.md has all):
    pipe_id 管段编号, from_asset 起点部件, to_asset 终点部件 (their 部件编码),
    kind 管段类型 (foul 污水, storm 雨水), diameter_mm 管径, length_m 长度,
    invert_up_m 起点管底标高, invert_down_m 终点管底标高.

    Either the whole file is imported or nothing, unless --skip-bad is given. What is odd but may be so is told, and
    stops nothing.
    """
    from underfoot.ledger.pipe_importer import import_pipes  # here, since networkx takes longer than most commands

    summary = imported(
        import_pipes, PIPES, file, skip_bad=skip_bad, bad_rows=bad_rows, sheet=sheet, dry_run=dry_run, as_json=as_json
    )
    if as_json:
        typer.echo(json.dumps(summary.as_dict(), ensure_ascii=False, indent=2))
        return
    count = summary.pipes
    table = Table("", "新增 new", "变更 changed", "未变 unchanged")
    table.add_row("管段 pipes", *(f"{number:,}" for number in (count.new, count.changed, count.unchanged)))
    out.print(table)
    _print_findings([finding.as_dict() for finding in summary.first_warnings], summary.warnings)
    if summary.kept_as_attributes:
        out.print(Text(f"作为管段属性保留 · kept as attributes: {'、'.join(summary.kept_as_attributes)}", style="dim"))
    if summary.bad_rows:
        out.print(Text(f"{summary.bad_rows} 行有误，已写入 · bad rows are in {summary.bad_rows_file}", style="yellow"))
    done = "已导入 imported" if summary.committed else "仅检查，未更改 · checked only, nothing was changed"
    out.print(f"{done}：{summary.rows:,} 行 rows，{summary.seconds:.1f} s", highlight=False)


@pipes.command("check")
def check_network(
    of: Annotated[
        str | None, typer.Option("--check", help="Only this check, e.g. step_up.", show_default="all")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="Show at most so many.")] = SHOWN_AT_MOST,
    as_json: AsJson = False,
) -> None:
    """Look over the whole network: gaps, circles, parts without an outfall, and more.

    An oddity is a warning: the ledger may be wrong, or the sewer is built so. Exit code 1 where there is an error.
    """
    from underfoot.ledger.pipe_checks import CHECKS, Finding, check
    from underfoot.ledger.pipes import load_pipes

    if of is not None and of not in CHECKS:
        raise typer.BadParameter(f"{of!r}: one of {', '.join(CHECKS)}", param_hint="--check")
    with connect_migrated("ledger") as connection:
        known, nodes = load_pipes(connection)
        findings = check(known, nodes)
        for device_id, _, asset_code in connection.execute(statement("pipes.stray_gauges")):
            what = f"液位计 {device_id} 所在部件没有管段 · no pipe ends where the gauge {device_id} is"
            findings.append(Finding("stray_gauge", "warning", (), (asset_code,), what))
    if of is not None:
        findings = [finding for finding in findings if finding.check == of]
    counts: dict[str, int] = {}
    for finding in findings:
        counts[finding.check] = counts.get(finding.check, 0) + 1
    shown = [finding.as_dict() for finding in findings[:limit]]
    errors = sum(finding.severity == "error" for finding in findings)
    length_km = {kind: sum(pipe.length_m for pipe in known if pipe.kind == kind) / 1000 for kind in KINDS}
    if as_json:
        told = {"pipes": len(known), "nodes": len(nodes), "length_km": length_km, "counts": counts, "findings": shown}
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        by_kind = "，".join(f"{label} {length_km[kind]:,.1f} km" for kind, label in KINDS.items())
        out.print(f"管段 pipes {len(known):,}，部件 nodes {len(nodes):,}：{by_kind}", highlight=False)
        _print_findings(shown, counts)
        if not findings:
            out.print("没有发现问题 · nothing found", style="green", highlight=False)
    if errors:
        raise typer.Exit(1)


@pipes.command("list")
def list_pipes(
    kind: Annotated[Literal["foul", "storm"] | None, typer.Option(help="Only these.", show_default=False)] = None,
    area: Annotated[str | None, typer.Option(help="Area code, e.g. 410502; all below it.", show_default=False)] = None,
    after: Annotated[str, typer.Option(help="Go on after this pipe_id.", show_default=False)] = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List pipes in the order of their ids. A pipe is in the area of its upper end."""
    rows = _rows(kind=kind, area=area, after=after, limit=limit + 1)
    more, rows = len(rows) > limit, rows[:limit]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2, default=str))
        return
    titles = ("管段编号", "类型", "起点", "终点", "管径 mm", "长度 m", "坡度 ‰")
    table = Table(*(Column(title, overflow="fold") for title in titles))
    for row in rows:
        table.add_row(
            Text(row["pipe_id"]),
            KINDS[row["kind"]],
            Text(f"{row['from_asset']} {row['from_name']}"),
            Text(f"{row['to_asset']} {row['to_name']}"),
            f"{row['diameter_mm']:g}",
            f"{row['length_m']:g}",
            f"{row['slope'] * 1000:.2f}",
        )
    out.print(table)
    if more:
        out.print(f"还有更多 · there are more: --after {rows[-1]['pipe_id']}", style="dim", highlight=False)


@pipes.command("show")
def show_pipe(
    pipe_id: Annotated[str, typer.Argument(help="The pipe.", show_default=False)], as_json: AsJson = False
) -> None:
    """Show one pipe: all that the ledger says of it, and what is odd about it."""
    from underfoot.ledger.pipe_checks import check
    from underfoot.ledger.pipe_importer import no_such_pipe
    from underfoot.ledger.pipes import load_pipes

    found = _rows(pipe_id=pipe_id, limit=1)
    if not found:
        fail(no_such_pipe(pipe_id), as_json)
    with connect_migrated("ledger") as connection:
        findings = [finding for finding in check(*load_pipes(connection)) if pipe_id in finding.pipes]
    row = found[0] | {"findings": [finding.as_dict() for finding in findings]}
    if as_json:
        typer.echo(json.dumps(row, ensure_ascii=False, indent=2, default=str))
        return
    labels = {name: column.label for name, column in PIPES.columns.items()} | {
        "from_name": "起点名称",
        "to_name": "终点名称",
        "area_code": "区划代码",
        "attributes": "属性",
        "slope": "坡度",
        "updated_at": "更新时间",
    }
    table = Table("字段", "", "值", show_header=False)
    for name, value in found[0].items():
        if name != "pipe_key" and value not in (None, {}):
            table.add_row(labels[name], name, Text(f"{value:g}" if isinstance(value, float) else str(value)))
    out.print(table)
    _print_findings(row["findings"], {})


@pipes.command("remove")
def remove(
    pipe_id: Annotated[str, typer.Argument(help="The pipe.", show_default=False)],
    reason: Annotated[str, typer.Option(help="Why, for the audit log.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Take a pipe out of the ledger: it is no more, or never was. The audit log keeps what it said.

    An import never removes one: that a file does not speak of a pipe does not say that it is gone.
    """
    from underfoot.ledger.pipe_importer import remove_pipe

    if not reason.strip():
        raise typer.BadParameter(f"{reason!r}: say why", param_hint="--reason")
    try:
        with connect_migrated("ledger") as connection:
            remove_pipe(connection, pipe_id, reason=reason.strip(), actor=actor())
    except LedgerError as error:
        fail(error, as_json)
    if as_json:
        typer.echo(json.dumps({"removed": pipe_id}))
    else:
        out.print(Text(f"已删除 removed：{pipe_id}"))


def _rows(
    *,
    kind: str | None = None,
    area: str | None = None,
    pipe_id: str | None = None,
    after: str = "",
    limit: int,
) -> list[dict[str, Any]]:
    wanted = {"kind": kind, "area": area, "pipe_id": pipe_id, "after": after, "limit": limit}
    with connect_migrated("ledger") as connection, connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("pipes.list"), wanted).fetchall()
    return [row | {"slope": (row["invert_up_m"] - row["invert_down_m"]) / row["length_m"]} for row in rows]


def _print_findings(findings: list[dict[str, Any]], counts: dict[str, int]) -> None:
    from underfoot.ledger.pipe_checks import CHECKS, NAMED_AT_MOST

    for finding in findings:
        about = finding["pipes"][:NAMED_AT_MOST] or finding["assets"]
        style = "red" if finding["severity"] == "error" else "yellow"
        where = "、".join(about) + ("…" if len(finding["pipes"]) > NAMED_AT_MOST else "")
        at = f"（{'、'.join(finding['assets'][:NAMED_AT_MOST])}）" if finding["pipes"] and finding["assets"] else ""
        err.print(Text(f"{CHECKS[finding['check']]} {where}{at}：{finding['what']}", style=style), soft_wrap=True)
    if counts:
        told = "，".join(f"{CHECKS[name]} {name} {count:,}" for name, count in counts.items())
        out.print(Text(f"共 in all：{told}"), highlight=False)

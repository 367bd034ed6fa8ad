"""How commands of the ledger speak: their consoles, the bar while a file is read, what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from underfoot.ledger.columns import Layout, LedgerError
from underfoot.ledger.staging import LedgerFaultsError
from underfoot.terminal import actor, connect_migrated

out = Console()
err = Console(stderr=True)

File = Annotated[Path, typer.Argument(help="CSV (UTF-8 or GB18030) or XLSX.", show_default=False)]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Import the good rows, and write the bad ones to a file with the reason.")
]
BadRows = Annotated[Path | None, typer.Option(help="Where --skip-bad writes them.", show_default="FILE.bad.csv")]
Sheet = Annotated[str | None, typer.Option(help="The workbook's sheet.", show_default="the first with a header")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything and tell, but change nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
"""What every command that imports a file lets one say."""


S = TypeVar("S")


def progress_bar(name: str, *, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=quiet or not err.is_terminal,
    )


def imported(
    importer: Callable[..., S],
    layout: Layout,
    file: Path,
    *,
    skip_bad: bool,
    bad_rows: Path | None,
    sheet: str | None,
    dry_run: bool,
    as_json: bool,
) -> S:
    """What `importer` says of the file, read under a bar. What is wrong with it is told, and ends the command."""
    target = (bad_rows or file.with_name(f"{file.stem}.bad.csv")) if skip_bad else None
    try:
        with connect_migrated("ledger") as connection, progress_bar(file.name, quiet=as_json) as bar:
            task = bar.add_task(file.name, total=None)

            def progress(done: int, total: int) -> None:
                bar.update(task, completed=done, total=total or None)

            return importer(
                connection,
                file,
                actor=actor(),
                sheet=sheet,
                bad_rows_to=target,
                dry_run=dry_run,
                progress=progress,
            )
    except LedgerFaultsError as faults:
        print_faults(faults, layout, as_json)
        raise typer.Exit(1) from None
    except LedgerError as error:
        fail(error, as_json)


def fail(error: LedgerError, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({"error": str(error)}, ensure_ascii=False))
    else:
        err.print(Text(str(error), style="red"))
    raise typer.Exit(1)


def print_faults(faults: LedgerFaultsError, layout: Layout, as_json: bool) -> None:
    if as_json:
        rows = [{"row": row.row, "faults": [fault.as_dict() for fault in row.faults]} for row in faults.first]
        typer.echo(
            json.dumps(
                {"error": str(faults), "rows": faults.rows, "bad_rows": faults.bad_rows, "first": rows},
                ensure_ascii=False,
                indent=2,
            )
        )
        return
    for row in faults.first:
        for fault in row.faults:
            label = layout.columns[fault.column].label if fault.column in layout.columns else ""
            where = f"第 {row.row} 行 row {row.row}  {label} {fault.column}".rstrip()
            err.print(Text(f"{where} = {fault.value!r}：{fault.allowed}"), soft_wrap=True)
    err.print(Text(str(faults), style="red"))
    more = faults.bad_rows - len(faults.first)
    if more > 0:
        err.print(f"以上为前 {len(faults.first)} 行，另有 {more} 行 · {more} more rows are wrong", highlight=False)
    err.print("--skip-bad 可先导入其余各行 · --skip-bad imports the others", style="dim", highlight=False)

"""How commands of the ledger speak: their consoles, the bar while a file is read, what is wrong with it."""

from __future__ import annotations

import json
from typing import NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from underfoot.ledger.columns import Layout, LedgerError
from underfoot.ledger.staging import LedgerFaultsError

out = Console()
err = Console(stderr=True)


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

"""`underfoot cases …`: cases, by command."""

from __future__ import annotations

from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.cases import desk
from alerts.cases.receipts import waiting
from underfoot.alarms import Severity
from underfoot.city_time import CITY_ZONE
from underfoot.clock import CLOCK
from underfoot.reports import moment
from underfoot.terminal import connect_migrated

out = Console()

commands = typer.Typer()
cases = typer.Typer(no_args_is_help=True, help="Cases (案件): what the city's platform keeps about alarms.")
commands.add_typer(cases, name="cases")
desk.add_to(cases)


@cases.command("waiting")
def show_waiting(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List what waits for the platform's receipt or its first word beyond patience, or for a person; the worst first.

    Patience is the rule `duty.escalation` (no_receipt_min, no_callback_min).
    """
    with connect_migrated("cases") as connection:
        rows = waiting(connection, moment(CLOCK.now_us()), limit=limit)
    if as_json:
        typer.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return
    if not rows:
        out.print("没有需要跟进的案件", style="green")
        return
    table = Table("案件", "告警", "原因", "平台", "自", "已通知")
    for row in rows:
        place = " ".join(part for part in (row["address"], row["asset"]) if part)
        table.add_row(
            str(row["case_key"]),
            Text("\n".join(part for part in (f"【{Severity(row['severity']).label}】{row['title']}", place) if part)),
            Text("\n".join(part for part in (row["why_label"], row["detail"]) if part)),
            Text("\n".join(part for part in (row["sink"], row["platform_no"]) if part)),
            f"{row['since'].astimezone(CITY_ZONE):%m-%d %H:%M}",
            Text("、".join(one["person"] for one in row["told"] or ())),
        )
    out.print(table)

"""`underfoot rules backtest`: what a rule would have raised on stored history, as a table, JSON and a picture.

The command is added to the group `rules` by alerts/rulebook/cli.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from alerts.backtest.picture import picture
from alerts.backtest.result import OPERATOR_A_DAY, SEVERITIES, Backtest, Overlap
from alerts.backtest.run import Told, backtest
from alerts.backtest.trial import BacktestError, Trial, fleet_of
from alerts.judge.outcome import RuleInForce, Variant
from alerts.rulebook.book import rules_in_force
from alerts.rulebook.files import read_rules
from alerts.rules.override import overridden
from underfoot.city_time import CITY_ZONE, read_moment
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement
from underfoot.terminal import connect_migrated

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
_WORST_SHOWN = 15


@commands.command("backtest")
def rules_backtest(
    rule_id: Annotated[str, typer.Argument(metavar="RULE", help="A rule's id, e.g. road.ponding.", show_default=False)],
    begin: Annotated[
        str, typer.Option("--from", help="2026-06-01, or with a time; the city's time.", show_default=False)
    ],
    end: Annotated[str, typer.Option("--to", help="Until then.", show_default=False)],
    area: Annotated[str | None, typer.Option(help="Only devices in this area and below.", metavar="CODE")] = None,
    device: Annotated[str | None, typer.Option(help="Only this device.", metavar="DEVICE_ID")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Try the rule as it stands in this file; it need not be in force.",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    picture_file: Annotated[
        Path | None, typer.Option("--picture", help="Also write a picture (SVG) there.", dir_okay=False)
    ] = None,
) -> None:
    """Try a rule on stored reports: the alarms it would have raised, and how many notices that is a day.

    Rules that judge the reports of single devices can be tried, and those on silence. Nothing is recorded, nobody is
    told.
    """
    since, until = _moment("--from", begin, as_json), _moment("--to", end, as_json)
    with connect_migrated("cli") as connection:
        try:
            in_force, version = _rule(connection, rule_id, file)
            areas = _areas(connection, area)
            trial = Trial(in_force, version, since, until, areas, device)
            fleet = fleet_of(connection, trial)
            with _progress(as_json) as told:
                result = backtest(connection, trial, fleet, told)
        except BacktestError as error:
            _fail(str(error), as_json)
    if picture_file is not None:
        picture_file.write_text(picture(result), encoding="utf-8")
    if as_json:
        typer.echo(result.model_dump_json())
    else:
        _print(result)


def _rule(connection: Connection, rule_id: str, file: Path | None) -> tuple[RuleInForce, int | None]:
    in_force = {one.rule.rule_id: one for one in rules_in_force(connection)}
    if file is not None:
        return _from_file(rule_id, file, in_force), None
    if rule_id not in in_force:
        raise BacktestError(f"RULE = {rule_id!r}: is not in force; `underfoot rules list` shows those that are")
    return in_force[rule_id], in_force[rule_id].version


def _from_file(rule_id: str, file: Path, in_force: Mapping[str, RuleInForce]) -> RuleInForce:
    """The rule as it would be with this file put in force; an override in it replaces the one of its scope."""
    read = read_rules(file.read_bytes(), str(file), {name: one.rule for name, one in in_force.items()})
    if read.problems:
        raise BacktestError("\n".join(map(str, read.problems)))
    rules = {rule.rule_id: rule for rule in read.rules}
    overrides = [one for one in read.overrides if one.rule_id == rule_id]
    known = in_force.get(rule_id)
    if rule_id not in rules and not (overrides and known is not None):
        raise BacktestError(f"{file}: has no rule {rule_id!r}; it has {', '.join(rules) or 'none'}")
    rule = rules.get(rule_id) or (known.rule if known is not None else rules[rule_id])
    variants = {one.scope: one for one in (known.variants if known is not None and rule_id not in rules else ())}
    variants |= {one.scope: Variant(one.scope, overridden(rule, one), 1, one.enabled) for one in overrides}
    return RuleInForce(rule, 1, tuple(sorted(variants.values(), key=lambda variant: variant.precedence)))


def _areas(connection: Connection, code: str | None) -> tuple[str, ...] | None:
    if code is None:
        return None
    codes = tuple(row[0] for row in connection.execute(statement("api_areas.codes_within"), {"code": code}))
    if not codes:
        raise BacktestError(f"--area = {code!r}: no area has this code, or one that begins with it")
    return codes


def _moment(option: str, text: str, as_json: bool) -> datetime:
    try:
        return read_moment(text)
    except ValueError as error:
        _fail(f"{option}: {error}", as_json)


@contextmanager
def _progress(as_json: bool) -> Iterator[Told]:
    if as_json or not err.is_terminal:
        yield lambda _share: None
        return
    with Progress(
        TextColumn("回测 · judging"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
        console=err,
    ) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda share: bar.update(task, completed=share)


# what is printed ----------------------------------------------------------------------------------------------------


def _print(result: Backtest) -> None:
    begin, end = (_local(at) for at in (result.begins_at, result.ends_at))
    version = f"v{result.version}" if result.version is not None else "not stored"
    out.print(Text(f"{result.title} · {result.rule_id} ({version})", style="bold"))
    out.print(
        f"{begin} – {end} · {result.devices} devices · {result.reports:,} reports · {result.took_s:.1f} s",
        highlight=False,
    )
    severities = "  ".join(
        f"{severity.label} {number}" for severity, number in zip(SEVERITIES, result.by_severity, strict=True)
    )
    out.print(f"告警 alarms        {result.raised} ({result.raised_a_day:g} a day)   {severities}", highlight=False)
    busy = result.notices_a_day > OPERATOR_A_DAY
    out.print(
        f"通知 notices       {result.notices} ({result.notices_a_day:g} a day; one operator takes {OPERATOR_A_DAY})",
        style="red" if busy else None,
        highlight=False,
    )
    told = {"case": "the platform", "crew": "crews"}
    whom = " and ".join(told[one] for one in result.tells) or "nobody outside: it stays in the list"
    out.print(f"推送 told           {whom}", highlight=False)
    table = Table("记录在案 on record", "episodes", "also found", "属实 real", "also found", "误报 false", "also found")
    for label, overlap in (("this rule", result.of_this_rule), ("other rules, same devices", result.of_other_rules)):
        table.add_row(label, *map(str, _cells(overlap)))
    out.print(table)
    out.print(f"Not on record of this rule: {result.new}", highlight=False)
    if result.episodes:
        worst = Table(
            "级别", "device", "place", "raised", "cleared", title=f"The worst {_WORST_SHOWN}", title_justify="left"
        )
        for one in result.episodes[:_WORST_SHOWN]:
            cleared = _local(one.cleared_at) if one.cleared_at is not None else "open"
            label = SEVERITIES[one.severity - 1].label
            worst.add_row(label, one.device_id, Text(one.place), _local(one.raised_at), cleared)
        out.print(worst)


def _cells(overlap: Overlap) -> Sequence[int]:
    return (
        overlap.recorded,
        overlap.recorded_found,
        overlap.confirmed,
        overlap.confirmed_found,
        overlap.false,
        overlap.false_found,
    )


def _local(at: datetime) -> str:
    return at.astimezone(CITY_ZONE).strftime("%Y-%m-%d %H:%M")


def _fail(problem: str, as_json: bool) -> NoReturn:
    if as_json:
        typer.echo(json.dumps({"error": problem}, ensure_ascii=False))
    else:
        err.print(Text(problem, style="red"), soft_wrap=True)
    raise typer.Exit(1)

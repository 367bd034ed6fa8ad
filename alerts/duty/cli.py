"""`underfoot duty …`: the roster and the calendar, in and out; who is on duty; what a shift leaves the next."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from alerts.duty import store
from alerts.duty.calendar import Calendar
from alerts.duty.files import DutyError, plan_text, read_calendar, read_plan
from alerts.duty.handover import HandoverError, Window, handover, window_of
from alerts.duty.handover_text import markdown
from alerts.duty.roster import Gap, OnDuty, Roster, everybody, gaps, masked
from underfoot.city_time import CITY_ZONE, read_moment
from underfoot.clock import CLOCK
from underfoot.terminal import actor, connect_migrated

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
duty = typer.Typer(
    no_args_is_help=True, help="Duty (值班): the roster, the calendar, who is on duty, handing over. See docs/duty.md."
)
calendar_commands = typer.Typer(no_args_is_help=True, help="The calendar (节假日与调休): enter a year, look at one.")
commands.add_typer(duty, name="duty")
duty.add_typer(calendar_commands, name="calendar")

_Json = Annotated[bool, typer.Option("--json", help="For programs.")]
_File = Annotated[Path, typer.Argument(help="YAML, as in docs/duty.md.", show_default=False)]
_At = Annotated[
    str | None, typer.Option(help="A time like 2026-10-01T21:30 (the city's).", show_default="now", metavar="TIME")
]


@duty.command("import")
def import_roster(
    file: _File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything and tell, but change nothing.")] = False,
    as_json: _Json = False,
) -> None:
    """Write the roster anew from a file. All of it or, at a mistake, nothing. Tells where the plan leaves gaps.

    A masked phone number (138****0001) means: as it is known.
    """
    with connect_migrated("duty") as connection:
        try:
            plan = read_plan(_text(file), file.name)
            with connection.transaction(force_rollback=dry_run):
                counts = store.put_plan(connection, plan, actor=actor())
                roster = store.load_roster(connection)
        except DutyError as error:
            _fail(error)
        names = _area_names(connection, roster)
    now = CLOCK.now()
    found = gaps(roster, now, now + timedelta(days=7))
    if as_json:
        typer.echo(_dumped({"dry_run": dry_run, **counts, "gaps": [_gap(gap) for gap in found]}))
        return
    said = ", ".join(f"{number} {name}" for name, number in counts.items())
    out.print(f"The roster {'would have' if dry_run else 'has'} {said}.")
    _print_gaps(found, names)


@duty.command("export")
def export_roster(
    with_phones: Annotated[
        bool, typer.Option("--with-phones", help="Phone numbers whole. It is written to the audit log.")
    ] = False,
) -> None:
    """Print the roster as a file that can be imported again."""
    with connect_migrated("duty") as connection:
        plan = store.load_plan(connection)
        if with_phones:
            store.note_phones_shown(connection, actor=actor())
    typer.echo(plan_text(plan, "whole" if with_phones else "masked"), nl=False)


@duty.command("show")
def show(at: _At = None, as_json: _Json = False) -> None:
    """Show who is on duty, at which level and for which areas, and where nobody will be in the next 7 days."""
    moment = _moment("at", at)
    with connect_migrated("duty") as connection:
        roster = store.load_roster(connection)
        sinks = store.duty_sinks(connection)
        names = _area_names(connection, roster)
    present = everybody(roster, moment)
    warning = roster.calendar.warning(moment.astimezone(CITY_ZONE).year)
    found = gaps(roster, moment, moment + timedelta(days=7))
    if as_json:
        people = [_on_duty(one, reached=one.person.sink in sinks) for one in present]
        typer.echo(_dumped({"at": moment, "people": people, "gaps": [_gap(gap) for gap in found], "warning": warning}))
        return
    day = roster.calendar.day(moment.astimezone(CITY_ZONE).date())
    out.print(f"{moment.astimezone(CITY_ZONE):%Y-%m-%d %H:%M} {day.kind.label}{f'（{day.name}）' if day.name else ''}")
    if warning:
        err.print(Text(warning, style="yellow"))
    if not roster.plan.assignments:
        out.print("There is no roster: nothing is escalated. `underfoot duty import FILE` writes one.")
        return
    table = Table("级别", "姓名", "班次", "至", "区域", "岗位", "电话", "通知")
    for one in present:
        table.add_row(
            str(one.level),
            one.person.name + (f"（代{one.instead_of}）" if one.instead_of else ""),
            one.shift,
            f"{one.ends.astimezone(CITY_ZONE):%m-%d %H:%M}",
            "、".join(names.get(code, code) for code in one.areas) or "全市",
            one.person.role,
            masked(one.person.phone) or "",
            Text(one.person.sink or "无", style="" if one.person.sink in sinks else "red"),
        )
    out.print(table)
    _print_gaps(found, names)


@duty.command("handover")
def hand_over(
    at: _At = None,
    shift: Annotated[str | None, typer.Option(help="The last shift of this name, e.g. 夜班.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Or: from this time on …", metavar="TIME")] = None,
    until: Annotated[str | None, typer.Option("--to", help="… until this one.", metavar="TIME")] = None,
    area: Annotated[str | None, typer.Option(help="Only this area and below, by its code.")] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown (this is the default).")] = False,
    as_json: _Json = False,
) -> None:
    """Print what the present shift leaves the next one (交接班), or what another one left."""
    if as_json and as_markdown:
        raise typer.BadParameter("either --json or --markdown")
    if (since is None) != (until is None):
        raise typer.BadParameter("--from and --to come together")
    with connect_migrated("duty") as connection:
        roster = store.load_roster(connection)
        now = CLOCK.now()
        try:
            if since is not None and until is not None:
                window = _span(_moment("from", since), _moment("to", until))
            else:
                window = window_of(roster, _moment("at", at), shift=shift, now=now)
            found = handover(connection, roster, window, area=area)
        except HandoverError as error:
            raise typer.BadParameter(str(error)) from None
    typer.echo(found.model_dump_json(indent=2) if as_json else markdown(found), nl=as_json)


@duty.command("note")
def note(
    text: Annotated[str, typer.Argument(help="What the next shift is to know.", show_default=False)],
    area: Annotated[str | None, typer.Option(help="Of this area, by its code.")] = None,
) -> None:
    """Write down something for the next shift (交接事项)."""
    if not text.strip():
        raise typer.BadParameter("the note is empty")
    with connect_migrated("duty") as connection:
        if area is not None and not store.area_names(connection, [area]):
            raise typer.BadParameter(f"--area {area}: there is no such area")
        store.add_note(connection, text.strip(), area=area, actor=actor(), at=CLOCK.now())
    out.print("Noted.")


# the calendar --------------------------------------------------------------------------------------------------------


@calendar_commands.command("import")
def import_calendar(file: _File, as_json: _Json = False) -> None:
    """Enter what a notice of the State Council (节假日安排的通知) says of a year; or the city's own days."""
    with connect_migrated("duty") as connection:
        try:
            given = read_calendar(_text(file), file.name)
        except DutyError as error:
            _fail(error)
        years = store.put_calendar(connection, given, actor=actor())
    if as_json:
        typer.echo(_dumped({"years": years, "days": len(given.entries())}))
    else:
        out.print(f"{len(given.entries())} days of {', '.join(str(year) for year in years)} are entered.")


@calendar_commands.command("forget")
def forget_calendar(year: Annotated[int, typer.Argument(help="The year.", show_default=False)]) -> None:
    """Take back what was entered of a year."""
    with connect_migrated("duty") as connection:
        gone = store.forget_calendar(connection, year, actor=actor())
    out.print(f"{gone} days of {year} are taken back.")


@calendar_commands.command("show")
def show_calendar(
    year: Annotated[int | None, typer.Argument(help="The year.", show_default="this one", min=1900, max=2199)] = None,
    as_json: _Json = False,
) -> None:
    """Show the days of a year that are not as the week has them, and who says so."""
    wanted = year if year is not None else CLOCK.now().astimezone(CITY_ZONE).year
    with connect_migrated("duty") as connection:
        calendar = store.load_calendar(connection)
    found = [day for day in _days_of(calendar, wanted) if day.name and day.name != "周末"]
    warning = calendar.warning(wanted)
    if as_json:
        days = [{"day": one.day, "kind": one.kind.value, "name": one.name, "source": one.source} for one in found]
        typer.echo(_dumped({"year": wanted, "known": calendar.knows(wanted), "days": days, "warning": warning}))
        return
    if warning:
        err.print(Text(warning, style="yellow"))
    table = Table("日期", "", "", "名称", "依据")
    for one in found:
        table.add_row(
            one.day.isoformat(), f"周{'一二三四五六日'[one.day.weekday()]}", one.kind.label, one.name, one.source
        )
    out.print(table)


def _days_of(calendar: Calendar, year: int) -> list[Any]:
    first = date(year, 1, 1)
    return [calendar.day(first + timedelta(days=n)) for n in range((date(year, 12, 31) - first).days + 1)]


# pieces --------------------------------------------------------------------------------------------------------------


def _on_duty(one: OnDuty, *, reached: bool) -> dict[str, Any]:
    return {
        "name": one.person.name,
        "level": one.level,
        "shift": one.shift,
        "begins": one.begins,
        "ends": one.ends,
        "areas": one.areas,
        "role": one.person.role,
        "unit": one.person.unit,
        "phone": masked(one.person.phone),
        "sink": one.person.sink,
        "can_be_told": reached,
        "instead_of": one.instead_of,
    }


def _gap(gap: Gap) -> dict[str, Any]:
    return {"level": gap.level, "area": gap.area, "begins": gap.begins, "ends": gap.ends}


def _print_gaps(found: list[Gap], names: dict[str, str]) -> None:
    for gap in found:
        area = names.get(gap.area, gap.area) if gap.area else "无区划事项"
        begins, ends = (f"{at.astimezone(CITY_ZONE):%m-%d %H:%M}" for at in (gap.begins, gap.ends))
        err.print(Text(f"无人值班：{area} {gap.level}级 {begins} 至 {ends}", style="yellow"))


def _area_names(connection: Any, roster: Roster) -> dict[str, str]:
    codes = {code for a in roster.plan.assignments for code in a.areas}
    return store.area_names(connection, sorted(codes | {code for p in roster.plan.people for code in p.areas}))


def _span(since: datetime, until: datetime) -> Window:
    if until <= since:
        raise typer.BadParameter("--to must be after --from")
    return Window(shift="", begins=since, ends=until, until=until)


def _moment(option: str, text: str | None) -> datetime:
    try:
        return CLOCK.now() if text is None else read_moment(text)
    except ValueError as error:
        raise typer.BadParameter(f"--{option} {error}") from None


def _text(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}") from None


def _dumped(body: Any) -> str:
    default: Callable[[object], str] = lambda value: value.isoformat() if isinstance(value, date) else str(value)  # noqa: E731
    return json.dumps(body, ensure_ascii=False, indent=2, default=default)


def _fail(error: Exception) -> NoReturn:
    err.print(Text(str(error), style="red"))
    raise typer.Exit(1)

"""The command `underfoot people`: accounts of people, the first administrator's before all."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from api.people import accounts
from api.people.accounts import Invitation, NoSuchPersonError, Person, PersonExistsError, RefusedError
from api.people.passwords import WeakPasswordError
from api.people.rights import RightsError
from api.roles import Role
from api.rows import Row
from underfoot.settings import load
from underfoot.storage.connect import Connection
from underfoot.terminal import actor, connect_migrated

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
people_commands = typer.Typer(no_args_is_help=True, help="People with accounts: who they are, what they may and where.")
commands.add_typer(people_commands, name="people")

Name = Annotated[str, typer.Argument(help="The login name, whatever its case.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
Areas = Annotated[list[str] | None, typer.Option("--area", help="Only this area and below; may be repeated.")]
Units = Annotated[list[str] | None, typer.Option("--unit", help="Only of this 养护单位; may be repeated.")]


@people_commands.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What they log in with; the actor in the audit log. Never used twice.")],
    role: Annotated[Role, typer.Option(help="viewer, operator, crew, integrator or administrator (docs/people.md).")],
    display_name: Annotated[str, typer.Option("--display-name", help="姓名, as colleagues read it.")] = "",
    area: Areas = None,
    unit: Units = None,
    password: Annotated[bool, typer.Option("--password", help="Ask here for the first password.")] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the first password from the first line of standard input.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make an account. Without a password, a one-time secret is printed, this once, with which its person sets one."""
    first = _password(password_stdin) if password or password_stdin else None
    with _connected() as connection:
        row = accounts.add(connection, name, role, actor(), display_name=display_name, areas=area, units=unit)
        invitation = None
        if first is not None:
            accounts.set_password(connection, row, first, actor())
        else:
            invitation, _ = accounts.invite(connection, name, actor())
        row = accounts.find(connection, name)
    if as_json:
        shown = {"person": Person.of(row).model_dump(mode="json")}
        if invitation is not None:
            shown["invitation"] = invitation.model_dump(mode="json") | {"link": _link(invitation)}
        typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
        return
    err.print(f"{row['name']} ({row['role']}) has an account.", highlight=False)
    if invitation is not None:
        _tell(invitation)


@people_commands.command("list")
def list_people(as_json: AsJson = False) -> None:
    """List accounts, disabled ones among them."""
    found: list[Row] = []
    with _connected() as connection:
        while page := accounts.listed(connection, found[-1]["name"] if found else "", 1000):
            found += page
    people = [Person.of(row).model_dump(mode="json") | {"open_sessions": row["open_sessions"]} for row in found]
    if as_json:
        typer.echo(json.dumps(people, ensure_ascii=False, indent=2))
        return
    table = Table("name", "姓名", "role", "areas", "units", "logs in", "sessions", "disabled")
    for one in people:
        how = "provider" if one["provider"] else "password" if one["password_at"] else "not yet"
        where = ["all" if one[part] is None else ", ".join(one[part]) for part in ("areas", "units")]
        table.add_row(
            one["name"],
            one["display_name"],
            one["role"],
            *where,
            how,
            str(one["open_sessions"]),
            one["disabled_at"] or "",
        )
    out.print(table)


@people_commands.command("role")
def role_of(name: Name, role: Annotated[Role, typer.Argument(help="The role from now on.")]) -> None:
    """Give a person another role."""
    with _connected() as connection:
        person = accounts.locked(connection, name)
        _change(connection, person, role=role, areas=person["areas"], units=person["units"])
    out.print(f"{person['name']} is {role.value}.", highlight=False)


@people_commands.command("scope")
def scope_of(
    name: Name,
    area: Areas = None,
    unit: Units = None,
    everywhere: Annotated[bool, typer.Option("--all-areas", help="The whole city.")] = False,
    every_unit: Annotated[bool, typer.Option("--all-units", help="Every 养护单位.")] = False,
) -> None:
    """Say where a person may do what their role may. What is not said stays as it is."""
    for given, whole, option in ((area, everywhere, "--area"), (unit, every_unit, "--unit")):
        if given and whole:
            _fail(f"{option} = {', '.join(given)}: not together with --all-{option.removeprefix('--')}s")
    if not (area or unit or everywhere or every_unit):
        _fail("say which: --area, --unit, --all-areas, --all-units")
    with _connected() as connection:
        person = accounts.locked(connection, name)
        areas = None if everywhere else area or person["areas"]
        units = None if every_unit else unit or person["units"]
        person = _change(connection, person, role=Role(person["role"]), areas=areas, units=units)
    where = [", ".join(person[part] or ["all"]) for part in ("areas", "units")]
    out.print(f"{person['name']}: areas {where[0]}; units {where[1]}.", highlight=False)


@people_commands.command("disable")
def disable(name: Name) -> None:
    """The account opens nothing any more, and its sessions are over, after 5 seconds at most."""
    with _connected() as connection:
        person = accounts.disable(connection, name, actor())
    out.print(f"{person['name']} is disabled.", highlight=False)


@people_commands.command("enable")
def enable(name: Name) -> None:
    """The account opens again what it did."""
    with _connected() as connection:
        person = accounts.enable(connection, name, actor())
    out.print(f"{person['name']} is enabled.", highlight=False)


@people_commands.command("reset")
def reset(name: Name, as_json: AsJson = False) -> None:
    """The password opens nothing any more, and sessions are over; print a one-time secret for a new one, this once."""
    with _connected() as connection:
        invitation = accounts.reset(connection, name, actor())
    if as_json:
        typer.echo(json.dumps(invitation.model_dump(mode="json") | {"link": _link(invitation)}, indent=2))
        return
    _tell(invitation)


@people_commands.command("log-out")
def log_out(name: Name) -> None:
    """End all sessions of a person, after 5 seconds at most; they may log in again."""
    with _connected() as connection:
        ended = accounts.log_out(connection, name, actor())
    out.print(f"{ended} sessions are over.", highlight=False)


def _change(
    connection: Connection, person: Row, *, role: Role, areas: list[str] | None, units: list[str] | None
) -> Row:
    return accounts.change(
        connection,
        person["name"],
        actor(),
        role=role,
        areas=areas,
        units=units,
        display_name=person["display_name"],
    )


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    said: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return said


def _link(invitation: Invitation) -> str:
    # Behind the #, so that it is in no server's log.
    return f"{load().api_url}/login#invitation={invitation.secret}"


def _tell(invitation: Invitation) -> None:
    typer.echo(_link(invitation))
    until = invitation.model_dump(mode="json")["expires_at"]
    err.print(
        f"The link sets a password once, until {until}. It is shown only now: hand it to its person.", highlight=False
    )


@contextmanager
def _connected() -> Iterator[Connection]:
    try:
        with connect_migrated("people") as connection:
            yield connection
    except NoSuchPersonError as error:
        _fail(f"NAME: {error}; `underfoot people list` shows who there is")
    except RightsError as error:
        _fail(str(error))
    except WeakPasswordError as error:
        _fail(f"password: {error}")
    except (PersonExistsError, RefusedError) as error:
        _fail(str(error), code=1)


def _fail(message: str, *, code: int = 2) -> None:
    err.print(Text(message, style="red"))
    raise typer.Exit(code) from None

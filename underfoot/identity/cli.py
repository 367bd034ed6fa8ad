"""`underfoot credentials`: issue, rotate, revoke and list what devices, gateways, vendors and services log in with."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from underfoot.identity import credentials
from underfoot.identity.accounts import Duty
from underfoot.identity.credentials import OVERLAP, Credential, CredentialError, Issued
from underfoot.identity.names import KINDS, Kind
from underfoot.storage.connect import Connection
from underfoot.terminal import actor, connect_migrated

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="What devices, gateways, vendors and services log in with.")
commands.add_typer(group, name="credentials")

AKind = Annotated[Kind, typer.Argument(help=f"Whose: {', '.join(KINDS)}.")]
Names = Annotated[
    list[str] | None, typer.Argument(help="Device_ids, gateway_ids or account names.", show_default=False)
]
From = Annotated[
    Path | None, typer.Option("--from", help="Take the names from a file, one a line, or the first column of a CSV.")
]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", help="Write a new CSV file with the secrets, which only you can read. Unset: print them."),
]
Days = Annotated[int | None, typer.Option(min=1, max=7300, help="How long it is good. Unset: until it is revoked.")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

_COLUMNS = ("kind", "name", "user_name", "secret", "expires_at", "old_until")


@group.command("issue")
def issue(
    kind: AKind,
    names: Names = None,
    from_file: From = None,
    without: Annotated[
        bool, typer.Option("--all-without", help="All devices in service for which none was ever issued.")
    ] = False,
    vendor: Annotated[
        str | None,
        typer.Option(
            help="Of a new vendor account: whose devices it speaks for, as in the ledger."
            " With --all-without: only devices of this vendor."
        ),
    ] = None,
    district: Annotated[str | None, typer.Option(help="With --all-without: only devices in this district.")] = None,
    mapping: Annotated[
        list[str] | None, typer.Option(help="Of a new vendor account: a mapping that it may use. May be repeated.")
    ] = None,
    duty: Annotated[
        Duty | None,
        typer.Option(help="Of a new service account: ingest; reader (of all reports); commands (sends them)."),
    ] = None,
    days: Days = None,
    to_csv: Csv = None,
    as_json: AsJson = False,
) -> None:
    """Issue a first secret, shown this once. With a vendor or a service, its account is made, too."""
    with _explained(), connect_migrated("credentials") as connection:
        wanted = _names(names, from_file, required=not without)
        if without:
            if kind != "device" or wanted:
                raise CredentialError("--all-without: is for devices, and no others are named beside it")
            wanted = credentials.devices_without(connection, vendor=vendor, district=district)
            if not wanted:
                out.print("There is no such device without a credential.")
                return
        elif kind in ("vendor", "service"):
            for name in wanted:
                credentials.open_account(
                    connection, kind, name, actor(), vendor=vendor, mappings=mapping or (), duty=duty
                )
        with _sink(to_csv) as file:
            issued = credentials.issue(connection, kind, wanted, actor(), good_for=_days(days))
            _keep(connection, issued, file)
    _show(issued, to_csv, as_json)


@group.command("rotate")
def rotate(
    kind: AKind,
    names: Names = None,
    from_file: From = None,
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=8760, help="How long the old secret is good beside the new one.")
    ] = OVERLAP.total_seconds() / 3600,
    days: Days = None,
    to_csv: Csv = None,
    as_json: AsJson = False,
) -> None:
    """Issue a new secret under the account's other user name; the old one is good for a while more."""
    with _explained(), connect_migrated("credentials") as connection:
        wanted = _names(names, from_file)
        with _sink(to_csv) as file:
            issued = credentials.rotate(
                connection, kind, wanted, actor(), overlap=timedelta(hours=overlap_hours), good_for=_days(days)
            )
            _keep(connection, issued, file)
    _show(issued, to_csv, as_json)


@group.command("revoke")
def revoke(
    kind: AKind,
    name: Annotated[str, typer.Argument(help="Its device_id, gateway_id or account name.")],
    credential: Annotated[
        int | None, typer.Option(help="Only this one, by its number in the list. Unset: all of the account.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make credentials useless: brokers refuse them, and cut off who uses them, within 10 seconds."""
    with _explained(), connect_migrated("credentials") as connection:
        revoked = credentials.revoke(connection, kind, name, actor(), credential_key=credential)
    if as_json:
        _print_json([_as_dict(each) for each in revoked])
    else:
        out.print(f"Revoked: {', '.join(each.user_name for each in revoked)}.", highlight=False, soft_wrap=True)


@group.command("list")
def list_credentials(
    kind: Annotated[Kind | None, typer.Argument(help=f"Only of these: {', '.join(KINDS)}.")] = None,
    name: Annotated[str | None, typer.Argument(help="Only of this one.")] = None,
    as_json: AsJson = False,
) -> None:
    """List credentials in the order of their issue, revoked ones among them. Secrets are not kept, so none is shown."""
    found: list[Credential] = []
    with _explained(), connect_migrated("credentials") as connection:
        while page := credentials.listed(
            connection, kind=kind, name=name, after=found[-1].credential_key if found else 0
        ):
            found += page
    if as_json:
        _print_json([_as_dict(each) for each in found])
        return
    table = Table("number", "kind", "name", "user name", "opens", "issued", "expires", "revoked")
    for each in found:
        said = _as_dict(each)
        opens = ("certificate" if each.certificate else "secret") if each.good else "nothing"
        table.add_row(
            str(each.credential_key),
            each.account.kind,
            each.account.name,
            each.user_name,
            opens,
            said["issued_at"],
            said["expires_at"] or "",
            said["revoked_at"] or "",
        )
    out.print(table)


def _keep(connection: Connection, issued: Sequence[Issued], file: TextIO | None) -> None:
    """The secrets are on the disk before the database knows them: one that opens nothing does no harm, one that nobody
    can find again locks a device out."""
    if file is not None:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(_as_row(each) for each in issued)
        file.flush()
        os.fsync(file.fileno())
    connection.commit()


def _show(issued: Sequence[Issued], path: Path | None, as_json: bool) -> None:
    if path is not None:
        out.print(f"{len(issued)} secrets are in {path}. They are kept nowhere else.", highlight=False, soft_wrap=True)
    elif as_json:
        _print_json([_as_row(each) for each in issued])
    else:
        for each in issued:
            typer.echo(f"{each.user_name} {each.secret}")
        err.print("Shown only now: keep them where their users find them.", highlight=False, soft_wrap=True)


def _as_row(each: Issued) -> dict[str, str | None]:
    return {
        "kind": each.account.kind,
        "name": each.account.name,
        "user_name": each.user_name,
        "secret": each.secret,
        "expires_at": _time(each.expires_at),
        "old_until": _time(each.old_until),
    }


@contextmanager
def _sink(path: Path | None) -> Iterator[TextIO | None]:
    """A new file that only we can read; one that is there is never overwritten, it may hold other secrets."""
    if path is None:
        yield None
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise CredentialError(f"--csv {path}: is there already, and may hold secrets; choose another name") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
    except BaseException:
        path.unlink()
        raise


def _names(names: Sequence[str] | None, from_file: Path | None, *, required: bool = True) -> list[str]:
    wanted = list(names or ())
    if from_file is not None:
        with from_file.open(encoding="utf-8-sig", newline="") as file:
            rows = [row[0].strip() for row in csv.reader(file) if row and row[0].strip()]
        wanted += rows[1:] if rows and rows[0] in ("device_id", "gateway_id", "name") else rows
    if required and not wanted:
        raise CredentialError("no name was given: name them, or --from FILE")
    return wanted


def _as_dict(each: Credential) -> dict[str, Any]:
    return {
        "credential_key": each.credential_key,
        "kind": each.account.kind,
        "name": each.account.name,
        "user_name": each.user_name,
        "certificate": each.certificate,
        "good": each.good,
        "issued_at": _time(each.issued_at),
        "issued_by": each.issued_by,
        "expires_at": _time(each.expires_at),
        "revoked_at": _time(each.revoked_at),
    }


def _print_json(rows: Any) -> None:
    typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))


def _time(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z") if moment is not None else None


def _days(days: int | None) -> timedelta | None:
    return timedelta(days=days) if days is not None else None


@contextmanager
def _explained() -> Iterator[None]:
    """An expected failure as one red message."""
    try:
        yield
    except (CredentialError, OSError) as error:
        err.print(Text(str(error), style="red"))
        raise typer.Exit(1) from None

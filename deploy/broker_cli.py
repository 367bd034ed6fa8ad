"""`underfoot broker`: the files of a mosquitto, kept in step with the accounts, and its certificates."""

from __future__ import annotations

import getpass
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from deploy.errors import StackError
from deploy.keeping import KeptMosquitto, by_pid_file, local
from deploy.secure import Identities
from underfoot.identity.certificates import CLIENT_FOR, Authority, NoAuthorityError, write_private
from underfoot.identity.certify import certify
from underfoot.identity.credentials import CredentialError
from underfoot.identity.files import write_all
from underfoot.identity.keep import Keeper
from underfoot.identity.names import KINDS, Kind
from underfoot.settings import Settings, load
from underfoot.storage.connect import connect

out = Console()
err = Console(stderr=True)

commands = typer.Typer()
broker = typer.Typer(
    no_args_is_help=True, help="A mosquitto that knows its clients: files in step with the accounts, certificates."
)
commands.add_typer(broker, name="broker")

Folder = Annotated[
    Path | None, typer.Option("--folder", help="Where the broker's files lie. Unset: those of the local stack.")
]
AuthorityFolder = Annotated[
    Path | None,
    typer.Option("--authority", help="Where ca.key and ca.crt lie. Unset: the authority of the local stack."),
]


@broker.command("files")
def files(folder: Folder = None, authority: AuthorityFolder = None) -> None:
    """Bring the password file, the access list and the list of revoked certificates up to date, once."""
    settings = load()
    with _explained(), connect(settings.require_database(), "broker") as connection:
        where = folder or Identities(settings.home).folder
        changed = write_all(connection, where, _authority(settings, authority))
    out.print(
        f"Written in {where}: {', '.join(changed)}." if changed else f"{where} is up to date.",
        highlight=False,
        soft_wrap=True,
    )


@broker.command("keep")
def keep(
    folder: Folder = None,
    authority: AuthorityFolder = None,
    pid_file: Annotated[
        Path | None, typer.Option(help="mosquitto's `pid_file`. Unset: the local stack's mosquitto.")
    ] = None,
    reload_command: Annotated[
        str | None,
        typer.Option(help="What makes mosquitto reload, e.g. 'systemctl reload mosquitto'. Unset: a SIGHUP from us."),
    ] = None,
) -> None:
    """Keep these files and the broker in step until told to stop: what is revoked is cut off within 10 seconds.

    UNDERFOOT_MQTT_URL, with the account of a service, is needed to cut off clients with revoked certificates.
    """
    settings = load()
    found = by_pid_file(pid_file) if pid_file is not None else local(settings.home)
    mqtt_url = settings.mqtt_url.get_secret_value() if settings.mqtt_url is not None else None
    keeper = Keeper(
        settings.require_database(),
        folder or Identities(settings.home).folder,
        KeptMosquitto(found, mqtt_url, settings.mqtt_ca, shlex.split(reload_command or "")),
        _authority(settings, authority),
    )

    def stop(_number: int, _frame: Any) -> None:
        keeper.stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with _explained():
        keeper.run()


@broker.command("authority")
def make_authority(authority: AuthorityFolder = None) -> None:
    """Make a certificate authority, unless there is one. Whoever has its ca.key can be anybody: keep it offline."""
    chosen = _authority(load(), authority)
    if chosen.exists:
        out.print(f"The authority in {chosen.folder} is left as it is.", highlight=False, soft_wrap=True)
        return
    chosen.make()
    out.print(
        f"Made: {chosen.key_file} (secret) and {chosen.certificate_file} (for the broker and its clients).",
        soft_wrap=True,
    )


@broker.command("server-certificate")
def server_certificate(
    hosts: Annotated[list[str], typer.Argument(help="Names and addresses by which clients reach the broker.")],
    folder: Annotated[Path, typer.Option("--out", help="Where server.key, server.crt and ca.crt are written.")],
    authority: AuthorityFolder = None,
) -> None:
    """Issue a certificate for a broker, good for 825 days."""
    chosen = _authority(load(), authority)
    with _explained():
        pair = chosen.issue_server(hosts)
    _write(folder, "server", pair.key, pair.certificate, chosen)
    out.print(
        f"Written in {folder}: server.key, server.crt, ca.crt; good until {pair.expires_at:%Y-%m-%d}.", soft_wrap=True
    )


@broker.command("certificate")
def certificate(
    kind: Annotated[Kind, typer.Argument(help=f"Whose: {', '.join(KINDS)}.")],
    name: Annotated[str, typer.Argument(help="Its device_id, gateway_id or account name.")],
    folder: Annotated[Path, typer.Option("--out", help="Where NAME.key, NAME.crt and ca.crt are written.")],
    days: Annotated[int, typer.Option(min=1, max=7300, help="How long it is good.")] = CLIENT_FOR.days,
    authority: AuthorityFolder = None,
) -> None:
    """Issue a client certificate. It stands for the account's user name. `underfoot credentials revoke` ends it."""
    settings = load()
    chosen = _authority(settings, authority)
    with _explained(), connect(settings.require_database(), "broker") as connection:
        user_name, pair = certify(
            connection, chosen, kind, name, f"cli:{getpass.getuser()}", good_for=timedelta(days=days)
        )
        connection.commit()
        _write(folder, name, pair.key, pair.certificate, chosen)
    out.print(
        f"Written in {folder}: {name}.key, {name}.crt, ca.crt; {user_name}, good until {pair.expires_at:%Y-%m-%d}.",
        highlight=False,
    )


def _write(folder: Path, name: str, key: bytes, issued: bytes, authority: Authority) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(folder / f"{name}.key", key)
    (folder / f"{name}.crt").write_bytes(issued)
    (folder / "ca.crt").write_bytes(authority.certificate_file.read_bytes())


def _authority(settings: Settings, folder: Path | None) -> Authority:
    return Authority(folder) if folder is not None else Identities(settings.home).authority


@contextmanager
def _explained() -> Iterator[None]:
    """An expected failure as one red message."""
    try:
        yield
    except (CredentialError, NoAuthorityError, StackError, OSError) as error:
        err.print(Text(str(error), style="red"))
        raise typer.Exit(1) from None

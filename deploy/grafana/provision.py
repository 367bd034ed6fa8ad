"""Grafana's configuration as files and as what its API is sent: one datasource, one folder, the dashboards."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import cast
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

import psycopg
import yaml

from deploy.grafana.city_map import DEFAULT_VIEW, View
from deploy.grafana.fields import Json
from deploy.grafana.overview import overview
from underfoot.audit.log import enter
from underfoot.settings import Settings
from underfoot.storage.connect import Connection, connect
from underfoot.storage.migrate import MigrationError, pending
from underfoot.storage.statements import statement

READER = "underfoot_dashboard"
_FOLDER = files("deploy.grafana")


class ReaderError(Exception):
    """Grafana's role cannot be let in; says why, and what to do."""


@dataclass(frozen=True)
class Folder:
    uid: str
    title: str


@dataclass(frozen=True)
class Reader:
    """How Grafana reaches the database: what the datasource's variables stand for."""

    host: str
    database: str
    user: str
    password: str
    sslmode: str

    @classmethod
    def of_url(cls, database_url: str) -> Reader:
        parts = urlsplit(database_url)
        mode = parse_qs(parts.query).get("sslmode", ["disable"])[0]
        return cls(
            host=f"{_host(parts)}:{parts.port or 5432}",
            database=unquote(parts.path.lstrip("/")) or "underfoot",
            user=unquote(parts.username or READER),
            password=unquote(parts.password or ""),
            # Grafana knows no "use TLS if it happens to be there".
            sslmode="disable" if mode in ("allow", "prefer") else mode,
        )

    @property
    def variables(self) -> dict[str, str]:
        found = {"HOST": self.host, "NAME": self.database, "USER": self.user}
        found |= {"PASSWORD": self.password, "SSLMODE": self.sslmode}
        return {f"UNDERFOOT_GRAFANA_DATABASE_{name}": value for name, value in found.items()}


def reader_in_force(settings: Settings) -> Reader:
    """As `grafana_database_url` says; else where we reach the database ourselves, without a password."""
    if settings.grafana_database_url is not None:
        return Reader.of_url(settings.grafana_database_url.get_secret_value())
    ours = Reader.of_url(settings.require_database())
    return Reader(ours.host, ours.database, READER, "", ours.sslmode)


def let_reader_in(database_url: str, *, actor: str) -> str:
    """Give Grafana's role a new password; return the URL it then logs in with."""
    password = secrets.token_urlsafe(24)
    with _connect(database_url) as connection:
        verifier = connection.pgconn.encrypt_password(password.encode(), READER.encode(), b"scram-sha-256").decode()
        try:
            connection.execute(statement("grafana.let_reader_in"), [verifier])
            enter(connection, actor, "database.grant", f"role:{READER}", {"group": READER})
        except psycopg.errors.InsufficientPrivilege as error:
            raise ReaderError(
                f"the database refuses to let {READER} log in ({error.diag.message_primary}): run this command with"
                " UNDERFOOT_DATABASE_URL naming a user who may create roles"
            ) from None
    parts = urlsplit(database_url)
    address = f"{_host(parts)}:{parts.port}" if parts.port else _host(parts)
    return parts._replace(netloc=f"{READER}:{quote(password)}@{address}").geturl()


def view_of_ledger(database_url: str) -> View:
    """Where the assets are; without a ledger, where the demo city lies."""
    with _connect(database_url) as connection:
        row = connection.execute(statement("grafana.map_extent")).fetchone()
    return View.of_extent(*row) if row is not None else DEFAULT_VIEW


def datasource(reader: Reader) -> Json:
    """What Grafana's API is sent for the datasource: the file's, with its variables replaced."""
    text = _FOLDER.joinpath("provisioning", "datasources", "underfoot.yaml").read_text(encoding="utf-8")
    entry = cast(Json, yaml.safe_load(Template(text).substitute(_as_yaml(reader.variables)))["datasources"][0])
    del entry["editable"]  # of files only
    if not reader.password:
        del entry["secureJsonData"]  # keeps the password Grafana may already have
    return entry


def folder() -> Folder:
    text = _FOLDER.joinpath("provisioning", "dashboards", "underfoot.yaml").read_text(encoding="utf-8")
    provider = yaml.safe_load(text)["providers"][0]
    return Folder(uid=provider["folderUid"], title=provider["folder"])


def dashboard_file(made: Json) -> str:
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def export(target: Path, dashboard: Json) -> list[Path]:
    """Write what Grafana's file provisioning reads; return the files written."""
    written: list[Path] = []
    for name in ("provisioning/datasources/underfoot.yaml", "provisioning/dashboards/underfoot.yaml"):
        written.append(_write(target / name, _FOLDER.joinpath(name).read_text(encoding="utf-8")))
    written.append(_write(target / "dashboards" / "overview.json", dashboard_file(dashboard)))
    return written


def shipped_dashboard() -> Json:
    """The dashboard as it is shipped as a file: links to an API on this machine, the map where the demo city lies."""
    default = f"http://{Settings.model_fields['api_host'].default}:{Settings.model_fields['api_port'].default}"
    return overview(default, DEFAULT_VIEW)


def _connect(database_url: str) -> Connection:
    connection = connect(database_url, "grafana")
    missing = pending(connection)
    if missing:
        connection.close()
        raise MigrationError(f"the database lacks {', '.join(missing)}: run `underfoot db migrate`")
    return connection


def _host(parts: SplitResult) -> str:
    host = parts.hostname or "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _as_yaml(variables: dict[str, str]) -> dict[str, str]:
    return {name: json.dumps(value) for name, value in variables.items()}

"""The local TimescaleDB: its cluster, its configuration, its start and its end."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Literal, LiteralString

import psycopg

from deploy import sandbox
from deploy.errors import StackError
from deploy.processes import Process, Server
from deploy.rootfs import Say

DATABASE: LiteralString = "underfoot"
ROLE = "underfoot"

_BIN = "/usr/lib/postgresql/17/bin"
_HBA = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class Postgres:
    """TimescaleDB under the stack's home: `postgres/data` is the cluster, `postgres/socket` its Unix socket."""

    name: ClassVar[Literal["postgres"]] = "postgres"
    setting: ClassVar[str] = "UNDERFOOT_POSTGRES_PORT"
    default_port: ClassVar[int] = 55432
    url_setting: ClassVar[str] = "database_url"

    home: Path

    @property
    def server(self) -> Server:
        return Server("PostgreSQL", self.home / "postgres", self.home / "logs" / "postgres.log")

    def url(self, port: int, database: str = DATABASE) -> str:
        return f"postgresql://{ROLE}:{self._password()}@127.0.0.1:{port}/{database}"

    @property
    def prepared(self) -> bool:
        return (self.server.folder / "data" / "PG_VERSION").exists()

    def prepare(self, rootfs: Path, say: Say) -> None:
        """Create the cluster, at the first time."""
        if not self.prepared:
            say("Creating the database cluster")
            self._create_cluster(rootfs)

    def start(self, rootfs: Path, port: int) -> Process:
        folder = self.server.folder
        (folder / "socket").mkdir(mode=0o700, exist_ok=True)
        shutil.copyfile(str(files("deploy") / "postgresql.conf"), folder / "postgresql.conf")
        (folder / "pg_hba.conf").write_text(_HBA, encoding="utf-8")
        options = {
            "config_file": "/data/postgresql.conf",
            "hba_file": "/data/pg_hba.conf",
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "/data/socket",
        }
        program = [f"{_BIN}/postgres", "-D", "/data/data"]
        for name, value in options.items():
            program += ["-c", f"{name}={value}"]
        return self.server.start(rootfs, program)

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, what is committed is checkpointed."""
        self.server.stop(signal.SIGINT, patience=60)

    def wait_until_ready(self, port: int, say: Say) -> None:
        """Return when it accepts connections; an interrupted cluster recovers first."""
        url = self.url(port, "postgres")
        began = time.monotonic()
        told = False
        while True:
            try:
                psycopg.connect(url, connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if self.server.running() is None:
                    raise self.server.failure() from None
                if "password authentication failed" in str(error):
                    raise StackError(
                        f"PostgreSQL refuses the password in {self.server.folder / 'password'}: it was changed,"
                        " or another server answers on the port"
                    ) from None
                waited = time.monotonic() - began
                if waited > 600:
                    raise StackError(f"PostgreSQL does not accept connections after 600 s: {error}") from None
                if waited > 3 and not told:
                    say("PostgreSQL is recovering what was not yet in its data files")
                    told = True
                time.sleep(0.05)
            else:
                return

    def create_database(self, port: int) -> None:
        """Create our database if it is not there."""
        with psycopg.connect(self.url(port, "postgres"), autocommit=True) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _create_cluster(self, rootfs: Path) -> None:
        folder = self.server.folder
        folder.mkdir(parents=True, exist_ok=True)
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_urlsafe(24), encoding="utf-8")
        # Under another name until it is whole: what an interruption leaves is not taken for a cluster.
        unfinished = folder / "data.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        initdb = [f"{_BIN}/initdb", "-D", "/data/data.unfinished", "-U", ROLE, "--pwfile=/data/password"]
        initdb += ["--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"]
        initdb += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8"]
        created = subprocess.run(
            sandbox.command(rootfs, initdb, folder=folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if created.returncode != 0:
            raise StackError(f"initdb failed:\n{created.stdout}{created.stderr}")
        unfinished.rename(folder / "data")

    def _password(self) -> str:
        path = self.server.folder / "password"
        try:
            return path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise StackError(
                f"{path} is missing, and with it the password of the database beside it: put it back,"
                f" or remove {self.server.folder} to begin anew (its data is lost then)"
            ) from None

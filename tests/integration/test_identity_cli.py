"""`underfoot credentials` and `underfoot broker`, as they are typed."""

from __future__ import annotations

import csv
import json
import re
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from deploy.broker_cli import commands as broker_commands
from underfoot.identity import authenticate
from underfoot.identity.certificates import serials
from underfoot.identity.cli import commands
from underfoot.storage.connect import connect

CITY = Path(__file__).parent / "identity_city.sql"


@pytest.fixture
def town(database: str) -> str:
    with psycopg.connect(database) as connection:
        connection.execute(CITY.read_bytes())
    return database


def run(database: str, *arguments: str) -> Result:
    return CliRunner().invoke(commands, ["credentials", *arguments], env={"UNDERFOOT_DATABASE_URL": database})


def ok(database: str, *arguments: str) -> Any:
    done = run(database, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def opens(database: str, user_name: str, secret: str) -> bool:
    with connect(database, "test") as connection:
        return authenticate(connection, user_name, secret) is not None


def test_a_secret_is_printed_once_and_opens(town: str) -> None:
    done = run(town, "issue", "device", "NB-1")
    assert done.exit_code == 0, done.output
    user_name, secret = done.stdout.split()
    assert user_name == "410502/cover/NB-1"
    assert opens(town, user_name, secret)
    assert secret not in done.stderr
    listed = run(town, "list")
    assert listed.exit_code == 0
    assert secret not in listed.output
    [new] = ok(town, "rotate", "device", "NB-1", "--overlap-hours", "1")
    assert opens(town, user_name, secret)
    assert opens(town, new["user_name"], new["secret"])
    revoked = ok(town, "revoke", "device", "NB-1")
    assert [each["good"] for each in revoked] == [False, False]
    assert not opens(town, user_name, secret)
    assert not opens(town, new["user_name"], new["secret"])
    assert ok(town, "revoke", "device", "NB-1") == revoked, "again is the same as once"


def test_accounts_of_vendors_and_services(town: str) -> None:
    [vendor] = ok(town, "issue", "vendor", "acme", "--vendor", "Acme", "--mapping", "acme-well")
    with connect(town, "test") as connection:
        account = authenticate(connection, vendor["user_name"], vendor["secret"])
    assert account is not None
    assert (account.kind, account.name, account.vendor, account.mappings) == (
        "vendor",
        "acme",
        "Acme",
        ("acme-well",),
    )
    [service] = ok(town, "issue", "service", "wall", "--duty", "reader", "--days", "30")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", service["expires_at"])


def test_many_devices_to_a_file(town: str, tmp_path: Path) -> None:
    """10 000 in seconds."""
    with psycopg.connect(town) as connection:
        connection.execute(
            "INSERT INTO devices (device_id, family, district, asset_key, vendor, expected_interval_s)"
            " SELECT 'M-' || i, 'cover', '410502', asset_key, '', 3600 FROM generate_series(1, 10000) i, assets"
        )
    target = tmp_path / "secrets.csv"
    began = time.monotonic()
    done = run(town, "issue", "device", "--all-without", "--district", "410502", "--csv", str(target))
    took = time.monotonic() - began
    assert done.exit_code == 0, done.output
    assert took < 20
    assert target.stat().st_mode & 0o077 == 0
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10_004
    assert len({row["secret"] for row in rows}) == len(rows)
    assert not any(row["secret"] in done.output for row in rows[:5])
    for row in (rows[0], rows[-1]):
        assert opens(town, row["user_name"], row["secret"])
    with psycopg.connect(town) as connection:
        [audited] = connection.execute("SELECT count(*) FROM audit WHERE action = 'credential.issue'").fetchall()
    assert audited == (10_004,)
    assert "no such device" in run(town, "issue", "device", "--all-without", "--district", "410502").stdout
    again = run(town, "rotate", "device", "NB-1", "--csv", str(target))
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    names = tmp_path / "names.csv"
    names.write_text("device_id,place\nM-1,x\nM-2,y\n", encoding="utf-8")
    assert len(ok(town, "rotate", "device", "--from", str(names))) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["issue", "device", "NB-9"], "device = 'NB-9'"),
        (["issue", "device"], "no name was given"),
        (["issue", "robot", "x"], "robot"),
        (["issue", "vendor", "x y", "--vendor", "X"], "name = 'x y'"),
        (["issue", "vendor", "x"], "vendor = None"),
        (["issue", "vendor", "x", "--vendor", "X", "--mapping", "none"], "'none'"),
        (["issue", "service", "x"], "duty = None"),
        (["issue", "gateway", "--all-without"], "--all-without"),
        (["rotate", "device", "NB-1"], "there is no such account"),
        (["revoke", "device", "NB-1"], "there is no such account"),
    ],
)
def test_what_the_command_refuses(town: str, arguments: list[str], told: str) -> None:
    done = run(town, *arguments)
    assert done.exit_code != 0
    assert told in done.stderr
    with psycopg.connect(town) as connection:
        assert connection.execute("SELECT count(*) FROM credentials").fetchone() == (0,)


def test_a_file_of_secrets_that_open_nothing_is_not_left(town: str, tmp_path: Path) -> None:
    target = tmp_path / "secrets.csv"
    assert run(town, "issue", "device", "NB-1", "NB-9", "--csv", str(target)).exit_code == 1
    assert not target.exists()


def test_a_brokers_files_and_certificates(town: str, tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "broker"
    environment = {"UNDERFOOT_DATABASE_URL": town, "UNDERFOOT_HOME": str(home)}

    def typed(*arguments: str) -> Result:
        return CliRunner().invoke(broker_commands, ["broker", *arguments], env=environment)

    early = typed("certificate", "device", "NB-1", "--out", str(tmp_path / "NB-1"))
    assert early.exit_code == 1
    assert "there is no certificate authority" in early.stderr
    assert typed("authority").exit_code == 0
    assert "left as it is" in typed("authority").stdout
    assert typed("server-certificate", "mqtt.city.example", "10.0.0.5", "--out", str(tmp_path / "tls")).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "tls").iterdir()) == ["ca.crt", "server.crt", "server.key"]
    done = typed("certificate", "device", "NB-1", "--out", str(tmp_path / "NB-1"))
    assert done.exit_code == 0, done.output
    assert (tmp_path / "NB-1" / "NB-1.key").stat().st_mode & 0o077 == 0
    ok(town, "issue", "device", "NB-2")
    assert typed("files", "--folder", str(folder)).exit_code == 0
    assert "up to date" in typed("files", "--folder", str(folder)).stdout
    passwords = (folder / "passwords").read_text(encoding="utf-8")
    assert [line.split(":")[0] for line in passwords.splitlines()] == ["410502/cover/NB-2"]
    assert serials((folder / "revoked.crl").read_bytes()) == set()
    [certificate] = ok(town, "revoke", "device", "NB-1")
    assert certificate["certificate"]
    assert "revoked.crl" in typed("files", "--folder", str(folder)).stdout
    assert len(serials((folder / "revoked.crl").read_bytes())) == 1

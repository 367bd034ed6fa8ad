"""The secret behind links: made with the tables, rotated by command, and out of the services' hands."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from typer.testing import CliRunner

from underfoot.links import LASTS, Fault, LinkError, issue, redeem, rotate, secrets
from underfoot.links_cli import commands
from underfoot.storage.connect import connect

NOW = datetime.now(UTC)


def token(secret: bytes) -> str:
    return issue(secret, alarm_key=1, episode=1, delivery_key=1, expires_at=NOW + LASTS)


def run(*arguments: str) -> str:
    result = CliRunner().invoke(commands, ["links", "rotate", *arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_rotated_and_voided_by_command(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    with connect(database, "test", autocommit=True) as connection:
        [first] = secrets(connection)
        assert (len(first.secret), len(set(first.secret)) > 8, first.retired_at) == (32, True, None)
        sent = token(first.secret)

        assert json.loads(run("--json")) == {"secret": 2, "void": False}
        assert "stay good for 7 days" in run()
        third, second, first_again = secrets(connection)
        assert first_again.secret == first.secret
        assert first_again.retired_at is not None
        assert len({one.secret for one in (third, second, first)}) == 3
        assert redeem(secrets(connection), sent, NOW).alarm_key == 1
        assert redeem(secrets(connection), token(third.secret), NOW).alarm_key == 1

        assert "no link that is out opens" in run("--void")
        assert len(secrets(connection)) == 1
        with pytest.raises(LinkError) as refused:
            redeem(secrets(connection), sent, NOW)
        assert refused.value.fault is Fault.forged
        acts = connection.execute(
            "SELECT action, subject, detail FROM audit WHERE action = 'links.rotate' ORDER BY audit_key"
        ).fetchall()
    assert acts == [
        ("links.rotate", "link_secret:2", {"voids_older": False}),
        ("links.rotate", "link_secret:3", {"voids_older": False}),
        ("links.rotate", "link_secret:4", {"voids_older": True}),
    ]


def test_nothing_of_it_is_changed_and_services_only_read(module_database: str) -> None:
    with connect(module_database, "test", autocommit=True) as connection:
        for forbidden in ("UPDATE link_secrets SET voids_older = true", "DELETE FROM link_secrets"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
                connection.execute(forbidden)
        connection.execute("SET ROLE underfoot_services")
        assert len(secrets(connection)) == 1
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only the owner"):
            rotate(connection, actor="test")


def test_a_secret_that_was_voided_does_not_come_back_with_the_next(module_database: str) -> None:
    with connect(module_database, "test", autocommit=True) as connection:
        [old] = secrets(connection)
        rotate(connection, actor="test", voids_older=True)
        rotate(connection, actor="test")
        assert old.secret not in {one.secret for one in secrets(connection)}
        newest, retired = secrets(connection)
        assert retired.retired_at is not None
        assert abs(retired.retired_at - datetime.now(UTC)) < timedelta(minutes=5)
        assert newest.retired_at is None

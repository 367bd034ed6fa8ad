"""What the services' database role may: all of their work; of the audit log, to read it and to add to it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from alerts.city.engine import City, steps, take_over
from api.roles import Role
from tests.integration.api.served import keyed
from tests.integration.owing import Owing, dispatching, eventually, settings
from tests.integration.receivers import Receiver
from tests.integration.shard import EMPTIED, LEDGER, Shard
from underfoot.audit import cli
from underfoot.audit.services import ServicesError, let_serve
from underfoot.audit.verify import verify
from underfoot.storage.connect import connect


@dataclass
class Service:
    """A role that logs in, and the URL by which it does; the owner's connection beside it."""

    role: str
    url: str
    owner: psycopg.Connection[tuple[object, ...]]
    database: str

    def session(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.url, autocommit=True)


@pytest.fixture
def service(module_database: str) -> Iterator[Service]:
    role, password = f"service_{secrets.token_hex(4)}", secrets.token_urlsafe(8)
    with psycopg.connect(module_database, autocommit=True) as owner:
        owner.execute(EMPTIED.encode())
        owner.execute(LEDGER.encode())
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
        url = _as(module_database, role, password)
        try:
            yield Service(role, url, owner, module_database)
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(role)))


def _as(database: str, role: str, password: str) -> str:
    scheme, _, rest = database.partition("://")
    return f"{scheme}://{role}:{password}@{rest.rpartition('@')[2]}"


def serve(service: Service) -> None:
    with connect(service.database, "grant") as connection:
        let_serve(connection, service.role, actor="test")


FORBIDDEN = [
    "UPDATE audit SET actor = 'li'",
    "DELETE FROM audit",
    "TRUNCATE audit",
    "INSERT INTO audit (at, actor, action, subject) VALUES ('2020-01-01', 'a', 'b', 'c')",
    "INSERT INTO audit (audit_key, actor, action, subject) OVERRIDING SYSTEM VALUE VALUES (1, 'a', 'b', 'c')",
    "UPDATE audit_seals SET hash = previous",
    "DELETE FROM audit_seals",
    "TRUNCATE audit_seals",
    "UPDATE transitions SET actor = 'li'",
    "DELETE FROM transitions",
    "DROP TRIGGER audit_append_only ON audit",
    "ALTER TABLE audit DISABLE TRIGGER ALL",
    "ALTER TABLE audit DISABLE TRIGGER audit_append_only",
    "DROP TABLE audit",
    "ALTER TABLE audit RENAME TO gone",
    "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE RULE nothing AS ON INSERT TO audit DO INSTEAD NOTHING",
    "SET session_replication_role = replica",
    "SELECT setval(pg_get_serial_sequence('audit', 'audit_key'), 1)",
    "SELECT ensure_services()",
    "UPDATE migrations SET checksum = 'x'",
    "SET ROLE pg_write_all_data",
]


def test_a_service_can_only_read_and_add(service: Service) -> None:
    serve(service)
    service.owner.execute("INSERT INTO audit (actor, action, subject) VALUES ('wang', 'alarm.close', 'episode:1')")
    with service.session() as session:
        for act in FORBIDDEN:
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject)):
                session.execute(act.encode())
        session.execute("INSERT INTO audit (actor, action, subject) VALUES ('li', 'alarm.close', 'episode:2')")
        assert len(session.execute("SELECT actor FROM audit WHERE action = 'alarm.close'").fetchall()) == 2


def test_a_role_that_was_not_let_in_can_do_nothing(service: Service) -> None:
    with service.session() as session:
        for act in (*FORBIDDEN, "SELECT * FROM audit"):
            with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedObject)):
                session.execute(act.encode())


def test_services_do_all_their_work_as_that_role(service: Service) -> None:
    serve(service)
    shard = Shard(service.url)
    try:
        shard.begin()
        shard.commit(shard.says("C-1", {"open": True, "tilt_deg": 70.0}))
        assert "cover.open" in shard.open()
        with keyed(service.url) as api:
            [alarm] = api.ok("/api/v1/alarms", device="C-1", limit=1)["items"]
            assert api.post(f"/api/v1/alarms/{alarm['episode_key']}/acknowledge").status_code == 200
            assert api.ok("/api/v1/audit", Role.administrator, action="alarm.acknowledge")["items"] != []
    finally:
        shard.close()
    with connect(service.url, "city", autocommit=True) as connection:
        city = City(connection, take_over(connection), steps(settings(service.url)))
        for _ in range(2):
            city.tick(datetime.now(UTC))
        failed = connection.execute("SELECT state -> 'steps' FROM engines WHERE name = 'city'").fetchall()[0][0]
    assert {name: figures["failures"] for name, figures in failed.items() if figures["failures"]} == {}
    with connect(service.url, "verify") as connection:
        verdict = verify(connection, now=datetime.now(UTC))
    assert (verdict.broken, verdict.unsealed) == (None, 0)
    actions = {row[0] for row in service.owner.execute("SELECT action FROM audit")}
    assert {"alarm.transition", "alarm.acknowledge", "api_key.create", "rules.ship"} <= actions


def test_deliveries_are_settled_as_that_role_and_are_in_the_log(service: Service) -> None:
    serve(service)
    owing = Owing(service.database)
    try:
        with Receiver() as receiver, dispatching(service.url):
            delivery = owing.owe(owing.sink("platform", receiver.url), owing.alarm(1))
            eventually(lambda: owing.delivery(delivery)["state"] == "delivered")
    finally:
        owing.close()
    query = "SELECT actor, action, subject, detail ->> 'attempts' FROM audit WHERE action LIKE 'delivery.%'"
    assert service.owner.execute(query).fetchall() == [("dispatch", "delivery.delivered", f"delivery:{delivery}", "1")]


def test_whoever_could_do_more_is_not_let_in(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(says: str) -> None:
        with connect(service.database, "grant") as connection, pytest.raises(ServicesError, match=says):
            let_serve(connection, service.role, actor="test")

    def do(text: str) -> None:
        service.owner.execute(sql.SQL(text).format(sql.Identifier(service.role)))

    do("ALTER ROLE {} SUPERUSER")
    refused("is a superuser")
    do("ALTER ROLE {} NOSUPERUSER")
    do("GRANT UPDATE ON audit TO {}")
    refused(r"has other rights on the audit log already \(UPDATE on audit\)")
    do("REVOKE UPDATE ON audit FROM {}")
    do("GRANT pg_write_all_data TO {}")
    refused("to whom nothing can be refused")
    do("REVOKE pg_write_all_data FROM {}")
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", service.database)
    granted = CliRunner().invoke(cli.commands, ["audit", "grant", service.role, "--json"])
    assert granted.exit_code == 0, granted.output
    missing = CliRunner().invoke(cli.commands, ["audit", "grant", "nobody-there"])
    assert missing.exit_code == 2
    assert "there is no such role" in missing.output
    [(subject,)] = service.owner.execute("SELECT subject FROM audit WHERE action = 'database.grant'").fetchall()
    assert subject == f"role:{service.role}"

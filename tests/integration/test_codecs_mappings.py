"""Mappings in force: versioned in the database, told to whoever runs, and never two of them for one topic."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from rich.console import Console
from typer.testing import CliRunner

from ingest import codec_cli
from ingest.codec_cli import commands
from ingest.codecs import mappings
from ingest.codecs.contract import Decoded
from ingest.codecs.mapping import Mapping, MappingError
from ingest.codecs.mappings import UnreadableMapping, add, filters_in_force, mappings_in_force, shipped, withdraw
from ingest.codecs.table import Codecs
from tests.unit.codec_frames import WELL, decoded, mapping
from underfoot.storage.connect import Connection, connect
from underfoot.storage.statements import names, statement

WELLS = "/city/410500/well/status/WF-0312"


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database, "test", autocommit=True) as opened:
        yield opened


def in_force(connection: Connection) -> dict[str, int]:
    return {entry.mapping.name: entry.version for entry in mappings.in_force(connection)}


def test_a_mapping_is_put_in_force_changed_withdrawn_and_put_in_force_again(connection: Connection) -> None:
    assert in_force(connection) == {}
    well = shipped()["mqtt-well-status"]
    assert add(connection, well, actor="tester") == 1
    assert add(connection, well, actor="tester") is None, "it is in force as it is"
    changed = well.model_copy(update={"title": "别的"})
    assert add(connection, changed, actor="tester") == 2
    assert mappings_in_force(connection) == [changed]
    assert withdraw(connection, well.name, actor="tester") == 3
    assert in_force(connection) == {}
    assert filters_in_force(connection) == {}
    assert add(connection, well, actor="other") == 4
    assert mappings_in_force(connection) == [well]
    rows = connection.execute("SELECT version, withdrawn, created_by FROM mappings ORDER BY version").fetchall()
    assert rows == [(1, False, "tester"), (2, False, "tester"), (3, True, "tester"), (4, False, "other")]
    audited = connection.execute(
        "SELECT action, subject, detail ->> 'version' FROM audit ORDER BY audit_key"
    ).fetchall()
    assert audited == [
        ("codec.add", "mqtt-well-status", "1"),
        ("codec.add", "mqtt-well-status", "2"),
        ("codec.withdraw", "mqtt-well-status", "3"),
        ("codec.add", "mqtt-well-status", "4"),
    ]


def test_what_is_in_force_reads_messages(connection: Connection) -> None:
    for one in shipped().values():
        add(connection, one, actor="tester")
    assert mappings_in_force(connection) == list(shipped().values())
    (part,) = decoded(Codecs(mappings_in_force(connection)), WELLS, WELL)
    assert isinstance(part, Decoded)
    assert part.report["values"]["tilt_deg"] == 22.4


def test_topics_that_overlap_another_s_in_force_are_refused(connection: Connection) -> None:
    add(connection, shipped()["dtu-modbus-cover"], actor="tester")
    other = mapping(name="other", topics=["dtu/{device}/+"])
    with pytest.raises(MappingError, match=r"dtu/\{device\}/\+ overlaps dtu/\{dtu\}/up of dtu-modbus-cover"):
        add(connection, other, actor="tester")
    assert in_force(connection) == {"dtu-modbus-cover": 1}
    withdraw(connection, "dtu-modbus-cover", actor="tester")
    assert add(connection, other, actor="tester") == 1


def test_of_two_that_overlap_at_the_same_moment_one_is_refused(connection: Connection, database: str) -> None:
    outcomes: list[str] = []

    def put(one: Mapping) -> None:
        with connect(database, "test", autocommit=True) as own:
            try:
                outcomes.append(f"version {add(own, one, actor='tester')}")
            except MappingError as error:
                outcomes.append("overlaps" if "overlaps" in str(error) else str(error))

    threads = [
        threading.Thread(target=put, args=(mapping(name=name, topics=["a/{device}"]),)) for name in ("one", "other")
    ]
    with connection.transaction():
        connection.execute(statement("mappings.lock"))
        for thread in threads:
            thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["overlaps", "version 1"]


def test_a_shard_that_is_not_there_is_refused(connection: Connection) -> None:
    with pytest.raises(MappingError, match="shard = 'north': there is no such shard"):
        add(connection, mapping(shard="north"), actor="tester")
    connection.execute("INSERT INTO shards (shard, filters) VALUES ('north', '{}')")
    add(connection, mapping(shard="north"), actor="tester")
    assert filters_in_force(connection) == {"north": {"vendor/+/up"}}


def test_a_mapping_that_devices_name_stays(connection: Connection) -> None:
    add(connection, shipped()["dtu-modbus-cover"], actor="tester")
    with connection.transaction():
        connection.execute("INSERT INTO areas (code, name, level) VALUES ('410502', '文峰区', 'district')")
        connection.execute(
            "WITH asset AS (INSERT INTO assets (code_scheme, asset_code, kind, name, area_code)"
            " VALUES ('device', 'C-1', '0103', 'x', '410502') RETURNING asset_key)"
            " INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s, codec)"
            " SELECT 'C-1', 'cover', '410502', asset_key, 86400, 'dtu-modbus-cover' FROM asset"
        )
    with pytest.raises(MappingError, match="1 devices have it as their codec"):
        withdraw(connection, "dtu-modbus-cover", actor="tester")
    with pytest.raises(MappingError, match="mqtt-well-status: is not in force"):
        withdraw(connection, "mqtt-well-status", actor="tester")


def test_whoever_holds_a_shard_is_told_at_commit(connection: Connection, database: str) -> None:
    with connect(database, "listener", autocommit=True) as listener:
        listener.execute("LISTEN underfoot_rules")
        add(connection, mapping(), actor="tester")
        withdraw(connection, "tried", actor="tester")
        heard = [notify.channel for notify in listener.notifies(timeout=10, stop_after=2)]
    assert heard == ["underfoot_rules"] * 2


def test_what_this_version_can_t_read_goes_on_being_received(connection: Connection) -> None:
    body = mapping().body | {"format": {"kind": "punched cards"}}
    connection.execute(
        statement("mappings.add"),
        {"name": "tried", "version": 1, "body": Jsonb(body), "withdrawn": False, "created_by": "a later version"},
    )
    (found,) = mappings_in_force(connection)
    assert isinstance(found, UnreadableMapping)
    assert "punched cards" in found.problem
    codecs = Codecs([found])
    assert filters_in_force(connection) == {"main": {"vendor/+/up"}}
    (part,) = decoded(codecs, "vendor/D-1/up", b"{}")
    assert "punched cards" in part.detail


def test_a_body_has_what_the_push_looks_up_in_it(connection: Connection) -> None:
    for one in (shipped()["ctwing-ad19prof"], shipped()["mqtt-well-status"]):
        add(connection, one, actor="tester")
    rows = connection.execute(
        "SELECT name, (body -> 'http')::boolean, body ->> 'shard' FROM mappings ORDER BY 1"
    ).fetchall()
    assert rows == [("ctwing-ad19prof", True, "main"), ("mqtt-well-status", False, "main")]


def test_every_statement_is_one_the_database_takes(connection: Connection) -> None:
    given: dict[str, Any] = {"name": "x", "version": 1, "body": Jsonb({}), "withdrawn": False, "created_by": "x"}
    given |= {"shard": "main", "actor": "x", "action": "x", "subject": "x", "detail": Jsonb({})}
    for name in names("mappings"):
        connection.execute(f"EXPLAIN {statement(name)}", given)


# as a person types it -----------------------------------------------------------------------------------------------


class Command:
    def __call__(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(commands, ["codec", *arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture
def command(database: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    monkeypatch.setattr(codec_cli, "out", Console(width=200))
    return Command()


def test_a_vendor_is_connected_by_commands_alone(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "wells.yaml"
    file.write_text(
        command("show", "mqtt-well-status").replace("-well-status\n", "-wells\n").replace("/status/", "/state/")
    )
    assert command.json("add", str(file)) == {"name": "mqtt-wells", "version": 1, "changed": True}
    assert "nothing was changed" in command("add", str(file))
    assert "version 1 is in force, on /city/+/well/status/+" in command("add", "mqtt-well-status")
    listed = {row["name"]: row for row in command.json("list")}
    assert (listed["mqtt-wells"]["version"], listed["mqtt-wells"]["ships"]) == (1, False)
    assert "version" not in listed["dtu-modbus-cover"]
    assert listed["mqtt-well-status"]["by"].startswith("cli:")
    assert "/city/{city}/well/state/{device}" in command("list")

    shown = command("show", "mqtt-wells")
    assert shown.startswith("# in force: version 1")
    again = tmp_path / "again.yaml"
    again.write_text(shown)
    assert command.json("add", str(again))["changed"] is False, "what is shown is the same mapping"

    assert "withdrawn" in command("withdraw", "mqtt-wells")
    assert "is not in force" in command("withdraw", "mqtt-wells", code=1)
    assert "mqtt-wells" not in {row["name"] for row in command.json("list")}


def test_a_mapping_that_can_t_be_in_force_is_told(command: Command, tmp_path: Path) -> None:
    assert "neither a file nor a mapping" in command("add", "nothing", code=1)
    command("add", "dtu-modbus-cover")
    file = tmp_path / "other.yaml"
    file.write_text(command("show", "dtu-modbus-cover", "--shipped").replace("name: dtu-modbus-cover", "name: other"))
    assert "overlaps dtu/{dtu}/up of dtu-modbus-cover" in command.json("add", str(file), code=1)["error"]


def test_without_a_database_that_answers_what_ships_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    monkeypatch.setattr(codec_cli, "out", Console(width=200))
    assert "the database does not answer" in Command()("list")
    assert "name: dtu-hj212-pipe" in Command()("show", "dtu-hj212-pipe")
    result = CliRunner().invoke(commands, ["codec", "list", "--json"])
    assert isinstance(result.exception, psycopg.OperationalError), "a program is not told half of it"

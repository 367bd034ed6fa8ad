"""The command as a stranger types it: help that says something, settings explained, errors that can be acted on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.system.installation import Installation, installed


@pytest.fixture(scope="module")
def stranger() -> Iterator[Installation]:
    """Nothing is up, nothing is set; a wide terminal, so that sentences stay whole."""
    with installed() as created:
        created.environment |= {"COLUMNS": "250", "NO_COLOR": "1", "TERM": "dumb"}
        yield created


def test_help_is_one_word_away(stranger: Installation) -> None:
    said = stranger.run("--help").stdout
    assert all(f"│ {command} " in said for command in ("up", "demo", "simulate", "platform"))
    page = stranger.run("shards", "--help").stdout
    assert "Usage: underfoot shards" in page
    assert "│ split " in page


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("UNDERFOOT_API_PORT", "99999", "65535"),
        ("UNDERFOOT_API_PORT", "eighty", "integer"),
        ("UNDERFOOT_LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("UNDERFOOT_LOG_LEVEL", "[/red]", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("UNDERFOOT_SHARDS", "Main Street", "^[a-z0-9_-]{1,32}$"),
        ("UNDERFOOT_BATCH_REPORTS", "0", "greater than or equal to 1"),
        ("UNDERFOOT_PUBLIC_URL", "underfoot.example", "http://"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(
    stranger: Installation, monkeypatch: pytest.MonkeyPatch, name: str, value: str, allowed: str
) -> None:
    monkeypatch.setitem(stranger.environment, name, value)
    refused = stranger.run("settings", succeeds=False)
    assert f"{name} = '{value}'" in refused.stderr
    assert allowed in refused.stderr
    assert "Traceback" not in refused.stderr


def test_several_wrong_settings_are_named_at_once_and_a_secret_stays_one(
    stranger: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stranger.environment, "UNDERFOOT_DATABASE_URL", "mysql://me:s3cret@somewhere/db")
    monkeypatch.setitem(stranger.environment, "UNDERFOOT_KEEPALIVE_S", "1")
    refused = stranger.run("ingest", succeeds=False)
    assert "UNDERFOOT_DATABASE_URL" in refused.stderr
    assert "postgresql://user:password@host:5432/underfoot" in refused.stderr
    assert "UNDERFOOT_KEEPALIVE_S = '1'" in refused.stderr
    assert "s3cret" not in refused.stderr + refused.stdout


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('log_levle = "INFO"', "log_levle: there is no such setting"),
        ("api_port = [1", "not a TOML file"),
        ("api_port = 70000", "UNDERFOOT_API_PORT = 70000"),
    ],
)
def test_a_wrong_settings_file(
    stranger: Installation, monkeypatch: pytest.MonkeyPatch, content: str, said: str
) -> None:
    file = stranger.folder / "underfoot.toml"
    file.write_text(content, encoding="utf-8")
    monkeypatch.setitem(stranger.environment, "UNDERFOOT_SETTINGS", str(file))
    monkeypatch.delitem(stranger.environment, "UNDERFOOT_API_PORT")
    refused = stranger.run("settings", succeeds=False)
    assert said in refused.stderr
    assert "Traceback" not in refused.stderr


def test_every_setting_is_shown_with_meaning_value_and_origin(
    stranger: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stranger.environment, "UNDERFOOT_DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:1/db")
    monkeypatch.setitem(stranger.environment, "UNDERFOOT_GRAFANA_TOKEN", "glsa_s3cret")
    file = stranger.folder / "mine.toml"
    file.write_text('shards = ["north", "south"]\nmqtt_url = "mqtt://me:s3cret@127.0.0.1:1"\n', encoding="utf-8")
    monkeypatch.setitem(stranger.environment, "UNDERFOOT_SETTINGS", str(file))
    shown = stranger.run("settings", "--json").stdout
    settings = {row["name"]: row for row in json.loads(shown)}
    assert all(row["meaning"] and row["origin"] for row in settings.values())
    assert settings["UNDERFOOT_SHARDS"] | {"meaning": ""} == {
        "name": "UNDERFOOT_SHARDS",
        "value": "north, south",
        "origin": "file",
        "meaning": "",
    }
    assert settings["UNDERFOOT_DATABASE_URL"]["origin"] == "environment"
    assert settings["UNDERFOOT_API_HOST"]["origin"] == "default"
    for name in ("UNDERFOOT_DATABASE_URL", "UNDERFOOT_MQTT_URL", "UNDERFOOT_GRAFANA_TOKEN"):
        assert settings[name]["value"] == "********"
    table = stranger.run("settings").stdout
    assert "s3cret" not in shown + table
    assert all(name in table for name in settings)


def test_status_for_programs_before_anything_is_up(stranger: Installation) -> None:
    status = stranger.status()
    assert status["api_url"] == stranger.api_url
    assert (status["database_url"], status["mqtt_url"]) == (None, None)
    assert not status["postgres"]["running"]
    assert not status["mosquitto"]["running"]


@pytest.mark.parametrize(
    "command", [("ingest",), ("alerts",), ("db", "migrate"), ("devices", "list"), ("sinks", "list")]
)
def test_what_to_do_first_is_said(stranger: Installation, command: tuple[str, ...]) -> None:
    refused = stranger.run(*command, succeeds=False)
    assert "underfoot up" in refused.stderr
    assert "UNDERFOOT_DATABASE_URL" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_database_that_does_not_answer_is_no_traceback(
    stranger: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(stranger.environment, "UNDERFOOT_DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:1/db")
    for command in (("db", "migrate"), ("devices", "list"), ("keys", "list")):
        refused = stranger.run(*command, succeeds=False)
        assert "The database does not answer" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert "s3cret" not in refused.stderr


@pytest.mark.parametrize("command", [("keys", "create", "[/red]", "--role", "viewer"), ("city", "/nowhere/[/red].csv")])
def test_what_was_typed_is_shown_as_it_was(stranger: Installation, command: tuple[str, ...]) -> None:
    refused = stranger.run(*command, succeeds=False)
    assert "[/red]" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_command_that_does_not_exist(stranger: Installation) -> None:
    refused = stranger.run("dispach", succeeds=False)
    assert "No such command 'dispach'" in refused.stderr
    assert "Traceback" not in refused.stderr

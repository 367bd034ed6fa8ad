"""`underfoot sinks` as a person types it: what a sink is for, quiet hours, company, and why somebody is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from alerts.deliver import cli as delivery_cli
from alerts.deliver.cli import commands
from tests.integration.duty import City, city_of

URL = ("--set", "url=https://qyapi.example/send?key=SECRET")


@pytest.fixture
def city(module_database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[City]:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", module_database)
    monkeypatch.setattr(delivery_cli, "out", Console(width=300))
    with city_of(module_database) as made:
        yield made


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(commands, [*arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return " ".join(result.output.replace("│", " ").split())


def listed() -> dict[str, Any]:
    return {row["name"]: row for row in json.loads(CliRunner().invoke(commands, ["sinks", "list", "--json"]).output)}


def test_what_a_sink_is_for_is_said_and_shown(city: City) -> None:
    run("sinks", "add", "shizheng", "--channel", "wecom", "--unit", "市政所", "--owner", "市政公司", "--area", "410502",
        "--quiet", "22:00-07:00", "--quiet", "12:00-14:00 6,7", *URL)  # fmt: skip
    row = listed()["shizheng"]
    assert (row["maintenance_unit"], row["owner_unit"], row["area_code"]) == ("市政所", "市政公司", "410502")
    assert (row["bundle_s"], row["per_minute"], row["sent_last_minute"]) == (3.0, 20, 0)
    assert row["quiet"] == ["22:00–07:00", "12:00–14:00 周六日"]
    shown = run("sinks", "list")
    for said in ("养护 市政所，权属 市政公司，区域 410502", "0/20", "22:00–07:00, 12:00–14:00 周六日"):
        assert said in shown
    assert "SECRET" not in shown
    [entry] = city.rows("SELECT detail FROM audit WHERE action = 'sink.add'")
    assert entry["detail"]["area_code"] == "410502"
    assert entry["detail"]["quiet"] == ["22:00–07:00", "12:00–14:00 周六日"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--channel", "wecom", "--area", "999999", *URL), "area = '999999': there is no such area in the ledger"),
        (("--channel", "wecom", "--quiet", "22-7", *URL), "a span like 22:00-07:00"),
        (("--channel", "wecom", "--quiet", "22:00-22:00", *URL), "that would be always"),
        (("--channel", "wecom", "--bundle", "11", *URL), "bundle = 11: 0 to 10 seconds"),
        (("--channel", "webhook", "--bundle", "3", *URL), "bundle = 3: webhook sends each alarm by itself"),
        (
            ("--channel", "wecom", "--audience", "duty", "--owner", "市政公司", *URL),
            "a sink for a person on duty has no",
        ),
        (
            ("--channel", "platform", "--audience", "platform", "--area", "410502", *URL),
            "a sink for a platform has no",
        ),
        (("--channel", "platform", "--audience", "platform", "--quiet", "22:00-07:00", *URL), "told at any time"),
        (("--channel", "sms", *URL, "--set", "based_on=tencent"), "based_on = 'tencent': that does not ship"),
    ],
)
def test_a_wrong_option_is_told_with_its_value(city: City, options: tuple[str, ...], said: str) -> None:
    assert said in run("sinks", "add", "s", *options, code=2)
    assert city.rows("SELECT FROM sinks WHERE name = 's'") == []


def test_why_somebody_is_told(city: City) -> None:
    city.roster()
    city.rise(1)
    [row] = city.rows("SELECT episode_key FROM episodes")
    shown = run("sinks", "route", "--alarm", str(row["episode_key"]))
    assert "1. 养护单位“文峰养护所”：没有推送目标" in shown
    assert "→ 按值班通知：wang 王建国（全天，第1级）" in shown
    assert "there is no alarm 4711" in run("sinks", "route", "--alarm", "4711", code=2)

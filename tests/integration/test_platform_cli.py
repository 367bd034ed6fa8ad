"""`underfoot platform …` as a person types it who connects a city."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from alerts.channels.platform import cli as platform_cli
from alerts.channels.platform.cli import commands
from alerts.deliver import cli as delivery_cli
from tests.integration.owing import Owing
from tests.integration.receivers import Receiver, Reply

CITY = """
based_on: yunguanfu
about: 某市运管服
url: https://ygf.example:8443/gateway/event/report?appKey=QUERYSECRET
headers: {Authorization: Bearer HEADERSECRET}
coordinates: {system: gcj02}
times: {format: "%Y%m%d%H%M%S"}
signer:
  kind: parameters
  app_key: underfoot
  app_secret: SIGNSECRET
  algorithm: hmac-sm3
code_path: ret
success_codes: ["OK"]
number_path: obj.caseNo
"""


def run(*arguments: str, code: int = 0, of: Any = commands) -> str:
    result = CliRunner().invoke(of, [*arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def try_json(*arguments: str, code: int = 0) -> Any:
    return json.loads(run("platform", "try", *arguments, "--json", code=code))


def unwrapped(shown: str) -> str:
    return " ".join(shown.replace("│", " ").split())


@pytest.fixture
def owing(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Owing]:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    monkeypatch.setenv("UNDERFOOT_DELIVERY_TIMEOUT_S", "1")
    monkeypatch.setenv("UNDERFOOT_PUBLIC_URL", "https://underfoot.example")
    monkeypatch.setattr(platform_cli, "out", Console(width=300))
    owing = Owing(database)
    yield owing
    owing.close()


@pytest.fixture
def city(tmp_path: Path) -> str:
    path = tmp_path / "city.yaml"
    path.write_text(CITY, encoding="utf-8")
    return str(path)


def alarm(owing: Owing, **changes: Any) -> str:
    """The id of an alarm of which a platform was told."""
    key = owing.alarm(1)
    owing.owe(owing.sink("told", "http://127.0.0.1:9/"), key, **changes)
    return str(owing.rows("SELECT episode_key FROM episodes WHERE alarm_key = %s", key)[0]["episode_key"])


def test_what_ships_is_listed_shown_and_can_be_read_again(tmp_path: Path, owing: Owing) -> None:
    listed = json.loads(run("platform", "configs", "--json"))
    assert [row["name"] for row in listed] == ["generic", "shengpingtai", "yunguanfu"]
    copied = tmp_path / "copy.yaml"
    copied.write_text(run("platform", "show", "yunguanfu"), encoding="utf-8")
    number = alarm(owing)
    url = ("--url", "https://c.example/e")
    copy, shipped = (try_json(source, "--alarm", number, *url) for source in (str(copied), "yunguanfu"))
    assert copy == shipped
    assert "there are generic, shengpingtai, yunguanfu" in unwrapped(run("platform", "show", "wuhu", code=2))
    fields = {row["name"]: row for row in json.loads(run("platform", "fields", "--json"))}
    assert fields["severity"]["values"] == [1, 2, 3, 4]
    assert all(row["meaning"] for row in fields.values())


def test_trying_shows_the_request_without_its_secrets_and_sends_nothing(owing: Owing, city: str) -> None:
    number = alarm(owing)
    tried = try_json(city, "--alarm", number)
    request = tried["request"]
    assert tried["answer"] is None
    assert request["method"] == "POST"
    assert request["url"] == "https://ygf.example:8443/gateway/event/report?appKey=********"
    assert request["headers"] == {"Authorization": "********", "X-Push-Id": "try-1-1-1-raise"}
    body = json.loads(request["body"])
    assert body["eventId"] == "1-1"
    assert body["coordinateX"] == "114.358401"
    assert len(body["sign"]) == 64
    assert json.loads(request["message"]) == {
        name: value for name, value in body.items() if name not in ("appKey", "timestamp", "nonce", "sign")
    }
    assert request["known_by"] == "eventId = 1-1"
    assert request["signed"][0].startswith("sign = hmac-sm3 of address, appKey,")
    shown = run("platform", "try", city, "--alarm", number)
    assert "SECRET" not in shown
    assert "Not sent" in shown
    revealed = try_json(city, "--alarm", number, "--reveal")["request"]
    assert revealed["headers"]["Authorization"] == "Bearer HEADERSECRET"
    assert "appKey=QUERYSECRET" in revealed["url"]


def test_sending_says_what_the_answer_means(owing: Owing, city: str) -> None:
    number = alarm(owing)
    answers = {
        "delivered": Reply(body={"ret": "OK", "obj": {"caseNo": 4711}}),
        "retry": Reply(body={"ret": "LATER"}),
        "sink failure": Reply(status=403, body={}),
        "bad message": Reply(body={"ret": 400}),
    }
    with Receiver() as receiver:
        for word, reply in answers.items():
            receiver.behaviour = lambda request, reply=reply: reply  # type: ignore[misc]
            good = word == "delivered"
            said = run("platform", "try", city, "--alarm", number, "--url", receiver.url, "--send", code=int(not good))
            assert word in said
        receiver.behaviour = lambda request: answers["delivered"]
        sent = try_json(city, "--alarm", number, "--url", receiver.url, "--send")
    assert sent["answer"]["outcome"] == "Delivered"
    assert sent["answer"]["receipt"]["platform_no"] == "4711"
    assert len({request.push_id for request in receiver.requests}) == 1, "each trial is a repeat of the first"
    assert receiver.requests[-1].headers["authorization"] == "Bearer HEADERSECRET"


def test_an_alarm_that_nobody_was_told_of_can_be_tried(owing: Owing, city: str) -> None:
    """No sink is there yet: that is how a city begins."""
    key = owing.alarm(7)
    number = str(owing.rows("SELECT episode_key FROM episodes WHERE alarm_key = %s", key)[0]["episode_key"])
    body = json.loads(try_json(city, "--alarm", number)["request"]["body"])
    assert (body["eventTitle"], body["eventLevel"], body["operateType"]) == ("井盖打开", "2", "1")
    owing.end(key)
    body = json.loads(try_json(city, "--alarm", number)["request"]["body"])
    assert (body["operateType"], body["finishTime"] != "") == ("3", True)


def test_a_file_becomes_a_sink_and_its_secrets_stay_hidden(
    owing: Owing, city: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_cli, "out", Console(width=300))
    add = ("sinks", "add", "city", "--channel", "platform", "--audience", "platform", "--config", city)
    run(*add, of=delivery_cli.commands)
    [row] = owing.rows("SELECT config FROM sinks WHERE name = 'city'")
    assert row["config"]["based_on"] == "yunguanfu"
    assert row["config"]["signer"]["app_secret"] == "SIGNSECRET"
    listed = run("sinks", "list", of=delivery_cli.commands)
    assert "https://ygf.example:8443" in listed
    assert "SECRET" not in listed
    audit = owing.rows("SELECT * FROM audit")
    assert audit
    assert "SECRET" not in repr(audit)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("wuhu.yaml", "--alarm", "1"),
            "wuhu.yaml: No such file or directory; a file, or one of generic, shengpingtai, yunguanfu",
        ),
        (("generic", "--alarm", "1"), "generic: platform: url: Field required"),
        (("generic", "--alarm", "99", "--url", "http://c.example"), "--alarm 99: there is no such alarm"),
    ],
)
def test_what_cannot_be_tried_is_said_in_a_line(owing: Owing, arguments: tuple[str, ...], said: str) -> None:
    assert said in unwrapped(run("platform", "try", *arguments, code=2))


def test_a_wrong_file_names_the_place(owing: Owing, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("url: http://c.example\ntemplate: {level: '{sverity}'}\n", encoding="utf-8")
    assert "level = '{sverity}': there is no field 'sverity'" in unwrapped(
        run("platform", "try", str(path), "--alarm", "1", code=2)
    )
    path.write_text("- a\n", encoding="utf-8")
    assert "settings by name are needed" in unwrapped(run("platform", "try", str(path), "--alarm", "1", code=2))
    path.write_text("url: [\n", encoding="utf-8")
    assert "not YAML" in unwrapped(run("platform", "try", str(path), "--alarm", "1", code=2))

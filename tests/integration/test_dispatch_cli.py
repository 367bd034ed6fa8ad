"""`underfoot sinks …` and `underfoot outbox …` as a person types them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from alerts.deliver import cli as delivery_cli
from alerts.deliver.cli import commands
from tests.integration.owing import Owing, dispatching, eventually
from tests.integration.receivers import OK, Receiver, Reply, refusing


class Command:
    def __call__(self, *arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(commands, [*arguments])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", code=code))


@pytest.fixture
def command(database: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", database)
    monkeypatch.setenv("UNDERFOOT_DELIVERY_TIMEOUT_S", "1")
    monkeypatch.setattr(delivery_cli, "out", Console(width=300))
    return Command()


@pytest.fixture
def owing(database: str) -> Iterator[Owing]:
    owing = Owing(database)
    yield owing
    owing.close()


def unwrapped(shown: str) -> str:
    """typer puts an error in a box and breaks its lines."""
    return " ".join(shown.replace("│", " ").split())


def test_a_sink_is_added_listed_replaced_and_removed_and_its_secret_is_never_shown(
    command: Command, owing: Owing
) -> None:
    url = "https://qyapi.example/cgi-bin/webhook/send?key=SECRET"
    add = ("sinks", "add", "paishui", "--channel", "wecom", "--unit", "排水管理所", "--set", f"url={url}")
    assert command.json(*add) == {"sink": "paishui", "done": "added"}
    assert "there is such a sink already" in unwrapped(command(*add, code=2))
    listed = command.json("sinks", "list")
    assert len(listed) == 1
    known = {
        name: listed[0][name]
        for name in ("name", "channel", "audience", "maintenance_unit", "min_severity", "place", "state")
    }
    assert known == {
        "name": "paishui",
        "channel": "wecom",
        "audience": "crew",
        "maintenance_unit": "排水管理所",
        "min_severity": 3,
        "place": "https://qyapi.example",
        "state": "working",
    }
    assert "paishui" in command("sinks", "list")
    assert command.json(*add, "--set", "per_minute=7", "--min-severity", "red", "--replace")["done"] == "replaced"
    row = owing.rows("SELECT config, min_severity FROM sinks")[0]
    assert row == {"config": {"url": url, "per_minute": 7}, "min_severity": 4}
    assert command.json("sinks", "remove", "paishui") == {"sink": "paishui", "done": "removed"}
    assert command.json("sinks", "list") == []
    shown = command("sinks", "list") + json.dumps(owing.rows("SELECT detail FROM audit"))
    assert "SECRET" not in shown
    audited = owing.rows("SELECT action, subject, actor FROM audit ORDER BY audit_key")
    assert [row["action"] for row in audited] == ["sink.add", "sink.replace", "sink.remove"]
    assert {row["subject"] for row in audited} == {"sink:paishui"}
    assert all(row["actor"].startswith("cli:") for row in audited)


def test_every_channel_tells_what_can_be_set(command: Command) -> None:
    settings = command.json("sinks", "channels")
    assert {row["channel"] for row in settings} == {"platform", "wecom", "dingtalk", "feishu", "sms", "mail", "webhook"}
    assert all(row["meaning"] for row in settings)
    assert "企业微信群机器人" in command("sinks", "channels")


def test_settings_may_come_from_a_file(command: Command, owing: Owing, tmp_path: Path) -> None:
    file = tmp_path / "mail.json"
    mail = {
        "host": "mail.example",
        "sender": "a@city.example",
        "recipients": ["b@city.example"],
        "security": "tls",
        "port": 465,
    }
    file.write_text(json.dumps(mail), encoding="utf-8")
    command("sinks", "add", "post", "--channel", "mail", "--config", str(file), "--set", "port=2465")
    assert owing.rows("SELECT config FROM sinks")[0]["config"] == mail | {"port": 2465}
    assert command.json("sinks", "list")[0]["place"] == "b@city.example (mail.example:2465)"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("x y", "--channel", "wecom", "--set", "url=https://q.example"), "name = 'x y': up to 64 letters"),
        (("x", "--channel", "smoke"), "channel = 'smoke': there is no such channel"),
        (("x", "--channel", "wecom"), "wecom: url: Field required"),
        (("x", "--channel", "wecom", "--set", "url"), "--set url: NAME=VALUE is needed"),
        (
            ("x", "--channel", "wecom", "--set", "url=https://q.example", "--set", "alternate=x"),
            "a sink can't be its own alternate",
        ),
        (
            ("x", "--channel", "wecom", "--set", "url=https://q.example", "--set", "alternate=y"),
            "alternate = 'y': there is no such sink",
        ),
        (
            ("x", "--channel", "platform", "--audience", "platform", "--unit", "a", "--set", "url=https://q.example"),
            "has no maintenance unit",
        ),
        (("x", "--channel", "platform", "--set", "headers={"), "--set {: not JSON"),
        (("x", "--channel", "mail", "--config", "/no/such.json"), "/no/such.json"),
    ],
)
def test_what_is_wrong_with_a_new_sink_is_said(command: Command, arguments: tuple[str, ...], said: str) -> None:
    assert said in unwrapped(command("sinks", "add", *arguments, code=2))
    assert command.json("sinks", "list") == []


def test_a_sink_with_deliveries_is_kept_on_record(command: Command, owing: Owing) -> None:
    with refusing() as url:
        sink = owing.sink("platform", url)
        delivery = owing.owe(sink, owing.alarm(1))
        for number in range(5):
            owing.owe(sink, owing.alarm(10 + number))
        with dispatching(owing.database):
            eventually(lambda: owing.sink_row(sink)["failures"] >= 5)
    assert command.json("sinks", "list")[0]["state"] == "failing"
    assert "is owed 6 deliveries" in unwrapped(command("sinks", "remove", "platform", code=2))
    assert command.json("sinks", "remove", "platform", "--drop-owed")["done"] == "disabled"
    assert owing.delivery(delivery)["state"] == "dropped"
    assert owing.delivery(delivery)["verdict"] == "sink_removed"
    assert command.json("sinks", "list")[0]["state"] == "disabled"
    assert [row["kind"] for row in owing.commands()] == ["sink_failing", "sink_working"], (
        "its alarm does not stay for ever"
    )
    assert "there is no such sink; there are: platform" in unwrapped(command("sinks", "remove", "nobody", code=2))


def test_an_alternate_in_use_is_not_removed(command: Command) -> None:
    command("sinks", "add", "spare", "--channel", "webhook", "--set", "url=https://s.example")
    command(
        "sinks", "add", "crew", "--channel", "webhook", "--set", "url=https://c.example", "--set", "alternate=spare"
    )
    assert "spare is the alternate of crew" in unwrapped(command("sinks", "remove", "spare", code=2))


def test_a_test_message_says_so_and_tells_what_was_answered(command: Command, owing: Owing) -> None:
    with Receiver(lambda request: Reply(body={"errcode": 0, "errmsg": "ok"})) as receiver:
        owing.sink("robot", receiver.url, channel="wecom", audience="crew")
        assert "taken" in command("sinks", "test", "robot")
        assert "推送测试，请勿处置" in receiver.requests[0].body["text"]["content"]
        receiver.behaviour = lambda request: Reply(body={"errcode": 93000, "errmsg": "invalid webhook url"})
        told = command.json("sinks", "test", "robot", code=1)
        assert told["taken"] is False
        assert "invalid webhook url" in told["said"]
    assert [row["detail"]["outcome"] for row in owing.rows("SELECT detail FROM audit ORDER BY audit_key")] == [
        "Delivered",
        "SinkFailure",
    ]


def test_a_test_that_is_taken_closes_the_breaker(command: Command, owing: Owing) -> None:
    with Receiver(lambda request: Reply(500)) as receiver:
        sink = owing.sink("platform", receiver.url)
        owing.owe(sink, owing.alarm(1))
        with dispatching(owing.database, delivery_retry_base_s=0.01):
            eventually(lambda: owing.sink_row(sink)["failures"] >= 5)
            receiver.behaviour = lambda request: OK
            command("sinks", "test", "platform")
            eventually(lambda: set(owing.states().values()) == {"delivered"})
    assert [row["kind"] for row in owing.commands()] == ["sink_failing", "sink_working"]


def test_dead_letters_are_replayed_by_id_or_time_under_their_own_keys(command: Command, owing: Owing) -> None:
    with Receiver(lambda request: Reply(400)) as receiver:
        sinks = [owing.sink("platform", receiver.url), owing.sink("other", receiver.url)]
        deliveries = [
            owing.owe(sink, owing.alarm(number), owed_for_s=80 * 3600) for number, sink in enumerate(sinks * 2)
        ]
        with dispatching(owing.database):
            eventually(lambda: set(owing.states().values()) == {"dead"})
            keys = {key: owing.delivery(key)["idempotency_key"] for key in deliveries}
            shown = command.json("outbox", "list", "--state", "dead", "--sink", "other")
            assert [row["delivery_key"] for row in shown] == [deliveries[3], deliveries[1]]
            assert shown[0]["last_error"] == "HTTP 400"
            receiver.behaviour = lambda request: OK
            receiver.requests.clear()
            assert command.json("outbox", "replay", str(deliveries[0])) == {"replayed": [deliveries[0]]}
            eventually(lambda: owing.delivery(deliveries[0])["state"] == "delivered")
            assert receiver.push_ids == [keys[deliveries[0]]]
            assert owing.delivery(deliveries[0])["owed_since"] > datetime.now(UTC) - timedelta(minutes=1)

            assert command.json("outbox", "replay", "--since", "2020-01-01", "--until", "2020-02-01") == {
                "replayed": []
            }
            since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
            assert command.json("outbox", "replay", "--since", since, "--sink", "other")["replayed"] == deliveries[1::2]
            assert command.json("outbox", "replay", "--since", since)["replayed"] == [deliveries[2]]
            eventually(lambda: set(owing.states().values()) == {"delivered"})
    assert sorted(receiver.push_ids) == sorted(keys.values())
    audited = owing.rows("SELECT detail FROM audit WHERE action = 'outbox.replay' ORDER BY audit_key")
    assert [row["detail"]["count"] for row in audited] == [1, 2, 1]


def test_only_dead_letters_are_replayed(command: Command, owing: Owing) -> None:
    delivery = owing.owe(owing.sink("platform", "http://127.0.0.1:9/"), owing.alarm(1))
    assert "say which: ids, or --since TIME" in unwrapped(command("outbox", "replay", code=2))
    assert f"{delivery}: it is owed, not dead; nothing was replayed" in unwrapped(
        command("outbox", "replay", str(delivery), code=2)
    )
    assert "999: there is no such delivery" in unwrapped(command("outbox", "replay", "999", code=2))
    assert "--since 'yesterday': a time like" in unwrapped(command("outbox", "replay", "--since", "yesterday", code=2))


def test_the_list_tells_why_somebody_was_not_told(command: Command, owing: Owing) -> None:
    with Receiver(lambda request: Reply(204)) as receiver:
        sink = owing.sink("crew", receiver.url, channel="webhook", audience="crew")
        owing.owe(sink, owing.alarm(1, over=True))
        owing.owe(sink, owing.alarm(2))
        with dispatching(owing.database):
            eventually(lambda: "owed" not in owing.states().values())
    shown = command("outbox", "list")
    assert "轮到通知时险情已解除，不派人前往" in shown
    assert "井盖打开 雨水井0312" in shown
    assert len(command.json("outbox", "list", "--limit", "1")) == 1

"""The link upward: every step once and in order, whatever happens on the way; and what stops it stops it visibly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

from alerts.cases.events import Overdue, Reached
from alerts.cases.record import apply
from alerts.cases.states import CaseState
from alerts.upward.cli import commands
from alerts.upward.run import Upward
from tests.integration.filed import Filing
from tests.integration.owing import settings
from tests.integration.receivers import OK, Receiver, Reply
from underfoot.city_time import CITY_ZONE
from underfoot.storage.connect import connect


@pytest.fixture
def filing(database: str) -> Iterator[Filing]:
    owing = Filing(database)
    yield owing
    owing.close()


@pytest.fixture
def province() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


class Moving:
    """A link that is moved when a test says so."""

    def __init__(self, filing: Filing, province: Receiver, **config: Any) -> None:
        self.filing = filing
        given = {"based_on": "shengpingtai", "indicators": {"url": province.url}} | config
        self.sink = filing.sink("province", province.url, audience="upward", **given)
        self.province = province
        self.round()

    def round(self) -> None:
        """As another process would: nothing is remembered."""
        with connect(self.filing.database, "test", autocommit=True) as connection:
            upward = Upward(connection, settings(self.filing.database))
            while upward.round(threading.Event()):
                pass
            upward.close()

    def step(self, case: int, state: str) -> None:
        with connect(self.filing.database, "test") as connection:
            reached = Reached(CaseState(state))
            apply(connection, case, reached, actor="platform:wuhu", cause="callback", at=datetime.now(UTC))

    def stream(self) -> dict[str, Any]:
        return self.filing.rows("SELECT * FROM upward_streams")[0]

    def told(self) -> list[tuple[str, str]]:
        return [(one.body["caseId"], one.body["caseStateName"]) for one in self.province.requests]

    def rested(self) -> None:
        self.filing.execute("UPDATE sinks SET open_until = NULL")


@pytest.fixture
def moving(filing: Filing, province: Receiver) -> Moving:
    return Moving(filing, province)


def run(monkeypatch: pytest.MonkeyPatch, moving: Moving, *arguments: str) -> Any:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", moving.filing.database)
    return CliRunner().invoke(commands, list(arguments))


def test_steps_are_told_once_and_in_their_order(filing: Filing, moving: Moving, province: Receiver) -> None:
    due: dict[str, Any] = {"repair_by": datetime.now(UTC), "repair_kind": "urgent_hour", "repair_amount": 6}
    one, other = filing.case(1), filing.case(2, **due)
    events = filing.event(one), filing.event(other)
    for case, state in ((one, "accepted"), (other, "accepted"), (one, "dispatched"), (one, "handling")):
        moving.step(case, state)
    moving.step(one, "handling")  # moves nothing, and is told to nobody
    moving.round()
    assert moving.told() == [
        (events[0], "已受理"), (events[1], "已受理"), (events[0], "已派遣"), (events[0], "处置中"),
    ]  # fmt: skip
    body = province.requests[-1].body
    assert (body["caseState"], body["stepType"], body["handler"]) == ("09", "reached", "platform:wuhu")
    assert province.requests[-1].push_id == body["dataId"]
    moving.round()
    assert len(province.requests) == 4
    with connect(filing.database, "test") as connection:
        apply(connection, other, Overdue("repair"), actor="engine", cause="engine", at=datetime.now(UTC))
    moving.round()
    assert province.requests[-1].body["stepType"] == "overdue_repair"
    assert moving.stream()["sent"] == 5


def test_an_outage_is_waited_out_and_what_is_lost_goes_again_under_its_key(filing: Filing, moving: Moving) -> None:
    case = filing.case(1)
    moving.step(case, "accepted")
    moving.province.behaviour = lambda request: Reply(status=503)
    moving.round()
    moving.step(case, "dispatched")
    assert "503" in moving.stream()["error"]
    moving.province.behaviour = lambda request: Reply(drop=True)
    moving.rested()
    moving.round()
    moving.province.behaviour = lambda request: OK
    moving.rested()
    moving.round()
    keys = [request.push_id for request in moving.province.requests]
    assert [state for _, state in moving.told()][-2:] == ["已受理", "已派遣"]
    assert len(set(keys)) == 2
    assert keys[:-1] == [keys[0]] * (len(keys) - 1)
    assert (moving.stream()["error"], moving.stream()["sent"]) == (None, 2)


def test_a_step_that_commits_late_is_not_passed_over(filing: Filing, moving: Moving) -> None:
    one, other = filing.case(1), filing.case(2)
    with connect(filing.database, "slow") as slow:
        apply(slow, one, Reached(CaseState.accepted), actor="platform:wuhu", cause="callback", at=datetime.now(UTC))
        moving.step(other, "accepted")  # has the higher number, and is there first
        moving.round()
        assert moving.told() == []
        slow.commit()
    moving.round()
    assert moving.told() == [(filing.event(one), "已受理"), (filing.event(other), "已受理")]


def test_a_bad_message_stops_it_until_somebody_decides(
    filing: Filing, moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = filing.case(1)
    moving.step(case, "accepted")
    moving.step(case, "dispatched")
    moving.province.behaviour = lambda request: Reply(status=422, body={"code": 422, "message": "caseState"})
    moving.round()
    moving.rested()
    moving.round()
    assert len(moving.province.requests) == 1, "a stream that stands sends nothing"
    assert "caseState" in moving.stream()["error"]
    assert [command["kind"] for command in filing.commands()] == ["sink_failing"]
    shown = run(monkeypatch, moving, "upward", "status")
    assert "stands" in shown.output
    assert run(monkeypatch, moving, "upward", "resume", "province").exit_code == 0
    moving.round()
    assert len(moving.province.requests) == 2
    assert run(monkeypatch, moving, "upward", "skip", "province", "--reason", "省平台不收该状态").exit_code == 0
    assert run(monkeypatch, moving, "upward", "skip", "province", "--reason", "again").exit_code == 2
    moving.province.behaviour = lambda request: OK
    moving.round()
    assert moving.told()[-1][1] == "已派遣"
    [aside] = filing.rows("SELECT * FROM upward_set_aside")
    assert (aside["reason"], aside["body"]["caseStateName"]) == ("省平台不收该状态", "已受理")
    acts = [row["action"] for row in filing.rows("SELECT action FROM audit WHERE action LIKE 'upward%%' ORDER BY 1")]
    assert acts == ["upward.resume", "upward.skip"]


def test_a_day_is_told_when_it_is_over_and_before_what_came_after(filing: Filing, moving: Moving) -> None:
    yesterday = datetime.now(CITY_ZONE).date() - timedelta(days=1)
    filing.execute("UPDATE upward_streams SET next_day = %s", yesterday)
    case = filing.case(1)
    moving.step(case, "accepted")
    at_night = datetime.now(CITY_ZONE).time() < datetime(2026, 1, 1, 0, 30).time()  # noqa: DTZ001 - only its time counts
    moving.round()
    bodies = [request.body for request in moving.province.requests]
    if at_night:
        assert [body.get("caseStateName") for body in bodies] == ["已受理"]
        return
    assert bodies[0]["statDate"] == yesterday.isoformat()
    assert bodies[0]["onlineRate"] is None
    assert bodies[0]["shouldHandleNum"] == 0
    assert bodies[1]["caseStateName"] == "已受理"
    assert moving.stream()["next_day"] == yesterday + timedelta(days=1)


def test_rewound_it_says_the_same_under_the_same_keys(
    filing: Filing, moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = filing.case(1)
    moving.step(case, "accepted")
    moving.step(case, "dispatched")
    moving.round()
    today = datetime.now(CITY_ZONE).date().isoformat()
    assert run(monkeypatch, moving, "upward", "rewind", "province", "--to", today).exit_code == 0
    moving.round()
    keys = [request.push_id for request in moving.province.requests]
    assert keys[:2] == keys[2:]
    assert run(monkeypatch, moving, "upward", "rewind", "nobody", "--to", today).exit_code == 2
    assert run(monkeypatch, moving, "upward", "resume", "province").exit_code == 2


def test_indicators_by_command(filing: Filing, moving: Moving, monkeypatch: pytest.MonkeyPatch) -> None:
    assert filing.rows("SELECT 1 AS there")
    shown = run(monkeypatch, moving, "indicators", "--month", "2026-07")
    assert "设备在线率" in shown.output
    assert run(monkeypatch, moving, "indicators", "--month", "2026-7x").exit_code == 2
    assert run(monkeypatch, moving, "indicators", "--month", "2026-07", "--day", "2026-07-01").exit_code == 2
    assert run(monkeypatch, moving, "indicators", "--day", "2099-01-01").exit_code == 2

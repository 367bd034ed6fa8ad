"""`underfoot platform reconcile` and `underfoot cases waiting`, as they are typed; and when they come by themselves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from alerts.cases import cli as cases_cli
from alerts.cases.reconciling import _round, due, run_reconciling
from alerts.channels.platform import cli as platform_cli
from alerts.channels.platform.query import Query
from simulators.platform.app import PlatformSettings
from tests.integration.filed import Filing
from tests.integration.owing import eventually, settings
from tests.integration.stand_in import event, push, running
from underfoot.city_time import CITY_ZONE
from underfoot.storage.connect import connect


@pytest.fixture
def filing(database: str) -> Iterator[Filing]:
    owing = Filing(database)
    yield owing
    owing.close()


@pytest.fixture
def platform() -> Iterator[httpx.Client]:
    with running(PlatformSettings()) as client:
        yield client


def asked(filing: Filing, platform: httpx.Client, **more: Any) -> int:
    base = str(platform.base_url).rstrip("/")
    query = {
        "url": f"{base}/query",
        "parameters": {"after": "{after}", "limit": "{size}"},
        "items": "data.cases",
        "next": "data.next",
    }
    return filing.platform(url=f"{base}/events", query=query | more)


def typed(monkeypatch: pytest.MonkeyPatch, filing: Filing, module: Any, *arguments: str) -> Result:
    monkeypatch.setenv("UNDERFOOT_DATABASE_URL", filing.database)
    return CliRunner().invoke(module.commands, list(arguments))


def test_it_says_what_differs_and_what_was_done(
    filing: Filing, platform: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = asked(filing, platform)
    case = filing.case(1, sink)
    filing.delivered(case, "SJ20260101000001")
    filing.execute("UPDATE case_reported SET reported_at = now() - interval '1 minute'")
    push(platform, event("somebody-else's", alarm="777"))
    shown = typed(monkeypatch, filing, platform_cli, "platform", "reconcile", "wuhu", "--dry-run")
    assert shown.exit_code == 0, shown.output
    for word in ("平台 1 件", "本系统 1 件", "平台上没有", "本系统没有", "SJ20260101000001", "--dry-run"):
        assert word in shown.output, shown.output
    found = json.loads(typed(monkeypatch, filing, platform_cli, "platform", "reconcile", "wuhu", "--json").output)
    assert (found["found"], found["done"]) == ({"missing": 1, "unknown": 1}, {"resent": 1, "reported": 1})
    assert filing.audited("platform.reconcile")[0]["actor"].startswith("cli:")


def test_what_is_not_believed_is_believed_by_force(
    filing: Filing, platform: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = asked(filing, platform)
    for number in range(20):
        filing.delivered(filing.case(number, sink), f"SJ{number}")
    filing.execute("UPDATE case_reported SET reported_at = now() - interval '1 minute'")
    refused = typed(monkeypatch, filing, platform_cli, "platform", "reconcile", "wuhu")
    assert refused.exit_code == 1
    assert "20 of 20" in refused.output
    assert "platform reconcile wuhu --force" in refused.output
    dry = typed(monkeypatch, filing, platform_cli, "platform", "reconcile", "wuhu", "--dry-run")
    assert dry.exit_code == 0
    for word in ("20 of 20", "platform_no SJ", "--dry-run"):
        assert word in dry.output.replace("\n", ""), dry.output
    done = json.loads(
        typed(monkeypatch, filing, platform_cli, "platform", "reconcile", "wuhu", "--force", "--json").output
    )
    assert done["done"] == {"resent": 20}


@pytest.mark.parametrize(
    ("sink", "code", "said"), [("nobody", 2, "nobody"), ("mute", 1, "query"), ("gone", 1, "not reached")]
)
def test_what_cannot_be_compared(
    filing: Filing, monkeypatch: pytest.MonkeyPatch, sink: str, code: int, said: str
) -> None:
    monkeypatch.setattr("alerts.channels.platform.query._PAUSE_S", 0.0)
    filing.platform("mute")
    query = {"url": "http://127.0.0.1:9/query", "parameters": {"page": "{page}"}}
    filing.platform("gone", query=query)
    shown = typed(monkeypatch, filing, platform_cli, "platform", "reconcile", sink)
    assert shown.exit_code == code
    assert said in shown.output or said in shown.stderr or "refused" in shown.output


def test_what_waits_is_listed(filing: Filing, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "没有需要跟进的案件" in typed(monkeypatch, filing, cases_cli, "cases", "waiting").output
    filing.case(1, filing.platform(), needs_person="not_accepted")
    shown = typed(monkeypatch, filing, cases_cli, "cases", "waiting")
    assert "【红】井盖打开" in shown.output
    assert "不予" in shown.output
    [row] = json.loads(typed(monkeypatch, filing, cases_cli, "cases", "waiting", "--json").output)
    assert row["why"] == "not_accepted"


def at(hour: float, day: int = 2) -> datetime:
    return datetime(2026, 7, day, tzinfo=CITY_ZONE) + timedelta(hours=hour)


QUERY = Query.model_validate({"url": "http://x/", "parameters": {"page": "{page}"}})


@pytest.mark.parametrize(
    ("now", "all_at", "any_at", "expected"),
    [
        (at(3.1), None, None, "all"),
        (at(2.9), at(3, 1), at(2.5), None),
        (at(3.1), at(3, 1), at(2.5), "all"),
        (at(3.1), at(3.05), at(3.05), None),
        (at(9), at(3.05), at(7.5), "open"),
        (at(9), at(3.05), at(8.5), None),
    ],
)
def test_when_it_is_due(now: datetime, all_at: datetime | None, any_at: datetime | None, expected: str | None) -> None:
    assert due(QUERY, now, all_at=all_at, any_at=any_at, since=at(0, 1)) == expected


def test_a_new_platform_is_first_compared_an_hour_later() -> None:
    assert due(QUERY, at(9.5), all_at=None, any_at=None, since=at(9)) is None
    assert due(QUERY, at(10.1), all_at=None, any_at=None, since=at(9)) == "open"
    never = Query.model_validate({**QUERY.model_dump(), "url": "http://x/", "daily_at": None, "open_every_min": None})
    assert due(never, at(23), all_at=None, any_at=None, since=at(0, 1)) is None


def test_by_schedule_in_its_own_thread(filing: Filing, platform: httpx.Client) -> None:
    asked(filing, platform, open_every_min=1)
    filing.execute("UPDATE sinks SET created_at = now() - interval '1 hour'")
    stop = threading.Event()
    thread = threading.Thread(target=run_reconciling, args=(settings(filing.database), stop))
    thread.start()
    try:
        eventually(lambda: filing.rows("SELECT 1 FROM reconciliations WHERE ended_at IS NOT NULL"))
    finally:
        stop.set()
        thread.join(15)
    assert not thread.is_alive()
    [row] = filing.rows("SELECT actor, error FROM reconciliations")
    assert (row["actor"], row["error"]) == ("reconcile", None)


def test_a_platform_that_cannot_be_asked_is_given_time(filing: Filing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alerts.channels.platform.query._PAUSE_S", 0.0)
    query = {"url": "http://127.0.0.1:9/query", "parameters": {"page": "{page}"}, "open_every_min": 1}
    filing.platform(query=query)
    filing.execute("UPDATE sinks SET created_at = now() - interval '1 hour'")
    with connect(filing.database, "test", autocommit=True) as connection:
        for _ in range(2):
            _round(connection, settings(filing.database), threading.Event())
        assert len(filing.rows("SELECT 1 FROM reconciliations WHERE error IS NOT NULL")) == 1
        filing.execute("UPDATE reconciliations SET began_at = %s", datetime.now(UTC) - timedelta(minutes=11))
        _round(connection, settings(filing.database), threading.Event())
    assert len(filing.rows("SELECT 1 FROM reconciliations")) == 2

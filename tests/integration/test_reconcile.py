"""What we pushed against what the platform has: every kind of difference, and what is done about it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from alerts.cases.callbacks import platform_sink
from alerts.cases.reconcile import MOST_RESENT, BusyError, Outcome, Scope, reconcile
from alerts.channels import parse_config
from alerts.channels.interface import Delivery
from alerts.channels.platform.city import PlatformConfig
from alerts.channels.platform.query import QueryError
from alerts.channels.platform.request import request
from simulators.platform.app import PlatformSettings
from tests.integration.filed import Filing
from tests.integration.owing import dispatching, eventually
from tests.integration.stand_in import event, push, running
from underfoot.storage.connect import connect

QUERY = {"parameters": {"after": "{after}", "limit": "{size}"}, "items": "data.cases", "next": "data.next", "size": 3}
BY_IDS = QUERY | {"ids": {"ids": "{ids}"}}


@pytest.fixture
def filing(database: str) -> Iterator[Filing]:
    owing = Filing(database)
    yield owing
    owing.close()


@pytest.fixture
def platform() -> Iterator[httpx.Client]:
    with running(PlatformSettings()) as client:
        yield client


def sink_to(filing: Filing, platform: httpx.Client, query: dict[str, Any] = QUERY) -> int:
    base = str(platform.base_url).rstrip("/")
    return filing.platform(url=f"{base}/events", query=query | {"url": f"{base}/query"})


def taken(
    filing: Filing, platform: httpx.Client, number: int, sink: int, *, numbered: bool = True, **columns: Any
) -> int:
    """A case that both sides have."""
    case = filing.case(number, sink, **columns)
    filing.delivered(case, told(filing, platform, case) if numbered else None)
    if not numbered:
        told(filing, platform, case)
    filing.execute("UPDATE case_reported SET reported_at = now() - interval '1 minute'")
    return case


def told(filing: Filing, platform: httpx.Client, case: int) -> str:
    """As the dispatcher would: it goes again under the same key, and must say the same."""
    [row] = filing.rows(
        "SELECT o.idempotency_key, o.snapshot, s.config FROM outbox o JOIN sinks s USING (sink_key)"
        " JOIN cases c USING (alarm_key) WHERE c.case_key = %s",
        case,
    )
    config = parse_config("platform", row["config"])
    assert isinstance(config, PlatformConfig)
    answer = push(platform, request(Delivery(row["idempotency_key"], row["snapshot"], ""), config).core)
    return str(answer.json()["data"]["platform_no"])


def goes(platform: httpx.Client, number: str, *states: str) -> None:
    for state in states:
        platform.post(f"/cases/{number}", json={"state": state}).raise_for_status()


TO_HANDLING = ("pending_register", "accepted", "pending_dispatch", "dispatched", "pending_handle", "handling")


def compare(filing: Filing, scope: Scope = "all", *, dry_run: bool = False, force: bool = False) -> Outcome:
    with connect(filing.database, "test") as connection:
        sink = platform_sink(connection, "wuhu")
    return reconcile(filing.database, sink, scope, actor="cli:test", timeout_s=2, dry_run=dry_run, force=force)


def test_every_difference_is_named_and_mended(filing: Filing, platform: httpx.Client) -> None:
    sink = sink_to(filing, platform)
    agreed, differs, ended, lost = (taken(filing, platform, number, sink) for number in (1, 2, 3, 4))
    unnumbered = taken(filing, platform, 5, sink, numbered=False)
    unanswered = filing.case(6, sink)  # its receipt was lost, and it is still owed
    told(filing, platform, unanswered)
    goes(platform, filing.of(differs)["platform_no"], *TO_HANDLING)
    goes(platform, filing.of(ended)["platform_no"], "forced_close")
    platform.delete(f"/cases/{filing.of(lost)['platform_no']}").raise_for_status()
    push(platform, event("somebody-else's", alarm="777"))

    dry = compare(filing, dry_run=True)
    expected = {"differs": 1, "ended_there": 1, "missing": 1, "number": 2, "unknown": 1}
    assert dict(dry.found) == expected
    assert dry.examples["unknown"][0]["platform_no"].startswith("SJ")
    assert filing.of(differs)["state"] == "reported"
    assert filing.rows("SELECT * FROM reconciliations") == []

    done = compare(filing)
    assert dict(done.found) == expected
    assert dict(done.done) == {"applied": 4, "resent": 1, "reported": 1}
    assert (done.listed, done.matched, done.ours) == (6, 5, 5)
    assert filing.of(differs)["state"] == "handling"
    assert filing.steps(differs)[-1]["cause"] == "reconcile"
    assert (filing.of(ended)["state"], filing.of(ended)["needs_person"]) == ("forced_close", "closed_while_open")
    assert filing.of(unnumbered)["platform_no"] is not None
    assert filing.of(unanswered)["platform_no"] is not None
    assert filing.of(agreed)["state"] == "reported"
    assert [row["state"] for row in filing.rows("SELECT state FROM outbox ORDER BY alarm_key")] == [
        *["delivered"] * 3, "owed", "delivered", "owed",
    ]  # fmt: skip
    [resent] = filing.audited("case.resend")
    assert resent["subject"] == f"case:{lost}"
    [record] = filing.rows("SELECT * FROM reconciliations")
    assert (record["error"], record["found"]["found"]) == (None, expected)
    assert filing.audited("platform.reconcile")[0]["actor"] == "cli:test"

    with dispatching(filing.database):
        eventually(lambda: not filing.rows("SELECT 1 FROM outbox WHERE state = 'owed'"))
    again = compare(filing)
    assert dict(again.found) == {"unknown": 1}
    violations = [one["outcome"] for one in platform.get("/violations").json()]
    assert violations == []


def test_of_certain_ones_only_those_are_judged(filing: Filing, platform: httpx.Client) -> None:
    sink = sink_to(filing, platform, BY_IDS)
    cases = [taken(filing, platform, number, sink) for number in range(1, 6)]
    over = taken(filing, platform, 6, sink, state="closed", ended_at=datetime.now(UTC), ended_how="closed")
    goes(platform, filing.of(cases[1])["platform_no"], *TO_HANDLING)
    for lost in (cases[2], over):
        platform.delete(f"/cases/{filing.of(lost)['platform_no']}").raise_for_status()
    done = compare(filing, "open")
    assert dict(done.found) == {"differs": 1, "missing": 1}
    assert done.listed == 4
    assert dict(compare(filing, "all", dry_run=True).found)["gone"] == 1


def test_what_is_over_on_one_side_only(filing: Filing, platform: httpx.Client) -> None:
    sink = sink_to(filing, platform)
    now = datetime.now(UTC)
    ours = taken(filing, platform, 1, sink, state="cancelled", ended_at=now, ended_how="cancelled")
    final = taken(filing, platform, 2, sink, state="closed", ended_at=now, ended_how="closed", end_confirmed=True)
    both = taken(filing, platform, 3, sink, state="cancelled", ended_at=now, ended_how="cancelled")
    goes(platform, filing.of(both)["platform_no"], "cancelled")
    done = compare(filing)
    assert dict(done.found) == {"ended_here": 1, "goes_on_there": 1, "confirmed": 1}
    assert filing.of(both)["end_confirmed"] is True
    assert filing.of(final)["needs_person"] == "goes_on_there"
    assert filing.of(final)["state"] == "closed"
    # Our end is told again; a platform that goes on all the same is a person's business.
    for _ in range(MOST_RESENT):
        filing.execute("UPDATE outbox SET state = 'delivered' WHERE state = 'owed'")
        compare(filing)
    assert filing.of(ours)["needs_person"] == "goes_on_there"
    assert len(filing.audited("case.resend")) == MOST_RESENT


def test_what_the_platform_said_meanwhile_counts_for_more(filing: Filing, platform: httpx.Client) -> None:
    sink = sink_to(filing, platform)
    case = taken(filing, platform, 1, sink)
    goes(platform, filing.of(case)["platform_no"], *TO_HANDLING)
    filing.execute("UPDATE case_reported SET heard_at = %s", datetime.now(UTC) + timedelta(hours=1))
    assert dict(compare(filing).done) == {"newer_word": 1}
    assert filing.of(case)["state"] == "reported"


def test_its_clock_goes_by_seconds(filing: Filing, platform: httpx.Client) -> None:
    """Two states within a second: the later one of the list counts all the same."""
    sink = sink_to(filing, platform)
    case = taken(filing, platform, 1, sink)
    number = filing.of(case)["platform_no"]
    goes(platform, number, *TO_HANDLING, "handle_finish", "pending_check", "checking", "check_not_pass")
    compare(filing)
    goes(platform, number, "pending_handle")
    filing.execute("UPDATE cases SET known_at = now() + interval '1 second'")
    compare(filing)
    assert (filing.of(case)["state"], filing.of(case)["rework"]) == ("pending_handle", 1)


def test_it_cannot_be_asked(filing: Filing, platform: httpx.Client) -> None:
    sink = sink_to(filing, platform)
    taken(filing, platform, 1, sink)
    platform.post("/behaviour", json={"kind": "error_code", "target": "query", "status": 401}).raise_for_status()
    with pytest.raises(QueryError, match="401"):
        compare(filing)
    [record] = filing.rows("SELECT * FROM reconciliations")
    assert "401" in record["error"]
    filing.execute("UPDATE sinks SET config = config - 'query'")
    with pytest.raises(QueryError, match="query"):
        compare(filing)


def test_one_at_a_time(filing: Filing, platform: httpx.Client) -> None:
    sink = sink_to(filing, platform)
    with connect(filing.database, "other", autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtext('underfoot.reconcile'), %s)", [sink])
        with pytest.raises(BusyError):
            compare(filing)
    assert filing.rows("SELECT * FROM reconciliations") == []
    compare(filing)


@pytest.mark.parametrize("query", [QUERY, BY_IDS])
def test_an_answer_without_the_list_is_no_empty_list(
    filing: Filing, platform: httpx.Client, query: dict[str, Any]
) -> None:
    sink = sink_to(filing, platform, query | {"items": "data.list"})
    case = taken(filing, platform, 1, sink)
    with pytest.raises(QueryError, match=r"data\.list: is missing"):
        compare(filing, "open")
    assert filing.rows("SELECT state FROM outbox") == [{"state": "delivered"}]
    assert filing.of(case)["needs_person"] is None
    [record] = filing.rows("SELECT * FROM reconciliations")
    assert "data.list: is missing" in record["error"]


def lost(filing: Filing, platform: httpx.Client, sink: int, count: int, *, of: int) -> list[int]:
    """So many cases that the platform has lost, of all that it took; the last of those that it has has moved."""
    cases = [taken(filing, platform, number, sink) for number in range(of)]
    for case in cases[:count]:
        platform.delete(f"/cases/{filing.of(case)['platform_no']}").raise_for_status()
    if count < of:
        goes(platform, filing.of(cases[-1])["platform_no"], *TO_HANDLING)
    return cases


@pytest.mark.parametrize(
    ("query", "scope", "count"),
    [(QUERY, "all", 20), (QUERY, "open", 11), (BY_IDS, "open", 20), (QUERY | {"most_missing_percent": 10}, "all", 3)],
)
def test_implausibly_much_missing_mends_nothing(
    filing: Filing, platform: httpx.Client, query: dict[str, Any], scope: Scope, count: int
) -> None:
    sink = sink_to(filing, platform, query)
    cases = lost(filing, platform, sink, count, of=20)
    assert compare(filing, scope, dry_run=True).found["missing"] == count
    with pytest.raises(QueryError, match=f"{count} of 20 .*--force"):
        compare(filing, scope)
    assert {row["state"] for row in filing.rows("SELECT state FROM outbox")} == {"delivered"}
    assert {filing.of(case)["state"] for case in cases} == {"reported"}
    [record] = filing.rows("SELECT * FROM reconciliations")
    assert f"{count} of 20" in record["error"]
    assert record["found"]["found"]["missing"] == count
    done = compare(filing, scope, force=True)
    assert done.done["resent"] == count
    assert done.found["differs"] == done.done["applied"] == (count < 20)


@pytest.mark.parametrize(("count", "of"), [(10, 20), (19, 19)])
def test_what_may_be_missing_is_sent_again(filing: Filing, platform: httpx.Client, count: int, of: int) -> None:
    """Half of them, or all of a few; what is over there and gone is not asked back."""
    sink = sink_to(filing, platform)
    lost(filing, platform, sink, count, of=of)
    for number in range(100, 105):
        over = taken(filing, platform, number, sink, state="closed", ended_at=datetime.now(UTC), ended_how="closed")
        platform.delete(f"/cases/{filing.of(over)['platform_no']}").raise_for_status()
    assert compare(filing).done["resent"] == count


def test_lines_that_cannot_be_read_are_named_and_their_cases_are_there(filing: Filing, platform: httpx.Client) -> None:
    sink = sink_to(filing, platform)
    case, numbered = taken(filing, platform, 1, sink), taken(filing, platform, 2, sink)
    goes(platform, filing.of(case)["platform_no"], *TO_HANDLING)
    goes(platform, filing.of(numbered)["platform_no"], *TO_HANDLING)
    push(platform, event("somebody-else's", alarm="777"))
    filing.execute("""UPDATE sinks SET config = jsonb_set(config, '{callbacks,statuses}', '{"closed": "closed"}')""")
    done = compare(filing)
    assert dict(done.found) == {"unread": 3}
    assert (done.listed, done.matched, dict(done.done)) == (3, 2, {})
    assert "handling" in done.examples["unread"][0]["why"]
    assert done.examples["unread"][0]["platform_no"] == filing.of(case)["platform_no"]
    assert filing.of(case)["state"] == "reported"
    assert {row["state"] for row in filing.rows("SELECT state FROM outbox")} == {"delivered"}


def test_it_ends_when_it_is_told_to(filing: Filing, platform: httpx.Client) -> None:
    sink_to(filing, platform)
    over = threading.Event()
    over.set()
    with connect(filing.database, "test") as connection:
        sink = platform_sink(connection, "wuhu")
    with pytest.raises(QueryError, match="stopped"):
        reconcile(filing.database, sink, "all", actor="reconcile", timeout_s=2, stop=over)
    assert filing.rows("SELECT error FROM reconciliations")[0]["error"] == "stopped before it was over"

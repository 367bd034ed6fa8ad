"""Every error that a caller can cause is a problem document that names the field, its value and what is allowed."""

from __future__ import annotations

import time
from typing import Any

import httpx
import psycopg
import pytest

from api.app import MAX_BODY_BYTES
from api.roles import Role
from tests.integration.api.served import PROBLEM, Served, nobody_there, problem, served

REPORTS = "/api/v1/devices/cover-0312/reports"

QUERIES: list[tuple[str, dict[str, Any], str, str, str]] = [
    # path, query, field, value, what the message says
    ("/api/v1/alarms", {"limit": 1001}, "limit", "1001", "less than or equal to 1000"),
    ("/api/v1/alarms", {"limit": 0}, "limit", "0", "greater than or equal to 1"),
    ("/api/v1/alarms", {"limit": "many"}, "limit", "many", "integer"),
    ("/api/v1/alarms", {"state": "opened"}, "state", "opened", "'open', 'unacknowledged', 'cleared' or 'all'"),
    ("/api/v1/alarms", {"severity": 5}, "severity.0", "5", "less than or equal to 4"),
    (
        "/api/v1/alarms",
        {"severty": 4},
        "severty",
        "4",
        "there is no such parameter; there are: from, to, state, suppressed",
    ),
    ("/api/v1/alarms", {"family": "covers"}, "family", "covers", "cover, road, pipe, pump, rain, lamp"),
    ("/api/v1/alarms", {"area": "419999"}, "area", "419999", "no area has this code"),
    ("/api/v1/alarms", {"area": "安阳"}, "area", "安阳", "pattern"),
    ("/api/v1/alarms", {"rule": "cover.nothing"}, "rule", "cover.nothing", "there never was such a rule"),
    ("/api/v1/alarms", {"device": "nobody"}, "device", "nobody", "no device reports under this id"),
    ("/api/v1/alarms", {"from": "2026-07-01T00:00:00"}, "from", "2026-07-01T00:00:00", "the time has no zone"),
    ("/api/v1/alarms", {"from": "yesterday"}, "from", "yesterday", "RFC 3339"),
    ("/api/v1/alarms", {"from": "1782864000"}, "from", "1782864000", "RFC 3339"),
    ("/api/v1/alarms", {"from": "2026-02-30T00:00:00Z"}, "from", "2026-02-30", "no such time"),
    ("/api/v1/alarms", {"from": "9999-12-31T23:59:59-23:59"}, "from", "9999", "from 1970 to 2199"),
    ("/api/v1/alarms", {"from": "2300-01-01T00:00:00Z"}, "from", "2300", "from 1970 to 2199"),
    (
        "/api/v1/alarms",
        {"from": "2026-07-02T00:00:00Z", "to": "2026-07-01T00:00:00Z"},
        "to",
        "2026-07-01",
        "must be after `from`, which is 2026-07-02T00:00:00Z",
    ),
    ("/api/v1/alarms", {"cursor": "x"}, "cursor", "x", "not a cursor"),
    ("/api/v1/alarms", {"cursor": "WyJhIl0"}, "cursor", "WyJhIl0", "not a cursor of this list"),
    ("/api/v1/alarms", {"cursor": "é"}, "cursor", "é", "not a cursor"),
    ("/api/v1/alarms", {"cursor": "x" * 401}, "cursor", "xxx", "at most 400 characters"),
    ("/api/v1/areas/tree", {"area": "4105"}, "area", "4105", "no area has this code"),
    ("/api/v1/areas/tree", {"depth": 9}, "depth", "9", "less than or equal to 5"),
    ("/api/v1/areas", {"level": "village"}, "level", "village", "'street'"),
    ("/api/v1/assets", {"with_device": "maybe"}, "with_device", "maybe", "boolean"),
    ("/api/v1/assets", {"object_state": "坏"}, "object_state", "坏", "'破损'"),
    ("/api/v1/assets", {"maintenance_unit": "a\x00b"}, "maintenance_unit", "a", "pattern"),
    ("/api/v1/assets", {"kind": "cover"}, "kind", "cover", "pattern"),
    ("/api/v1/devices", {"asset": 2**31}, "asset", "2147483648", "less than or equal to 2147483647"),
    ("/api/v1/devices", {"status": "broken"}, "status", "broken", "'in_service', 'maintenance' or 'retired'"),
    (REPORTS, {"limit": 10_001}, "limit", "10001", "less than or equal to 10000"),
    (REPORTS, {"bucket": "2h", "from": "2026-07-01T00:00:00Z"}, "bucket", "2h", "'1m', '5m'"),
    (REPORTS, {"bucket": "1h"}, "from", "None", "needed with `bucket`"),
    (REPORTS, {"fill": "empty"}, "fill", "empty", "only together with `bucket`"),
    (REPORTS, {"max_gap_s": 60}, "max_gap_s", "60", "only together with `bucket`"),
    (REPORTS, {"order": "up"}, "order", "up", "'desc' or 'asc'"),
    (REPORTS, {"fields": "depth_cm"}, "fields", "depth_cm", "the family cover has battery_v, battery_pct"),
    (REPORTS, {"format": "xml"}, "format", "xml", "'json' or 'csv'"),
    (
        REPORTS,
        {"bucket": "1h", "from": "2026-07-01T00:00:00Z", "order": "desc"},
        "order",
        "desc",
        "buckets are oldest first",
    ),
    (
        REPORTS,
        {"bucket": "1h", "from": "2026-07-01T00:00:00Z", "fill": "empty", "max_gap_s": 9},
        "max_gap_s",
        "9",
        "`fill=previous` or `fill=linear`",
    ),
    (
        REPORTS,
        {"bucket": "1m", "from": "2026-07-01T00:00:00Z", "to": "2026-07-02T00:00:00Z", "fill": "empty"},
        "limit",
        "1000",
        "about 1440 buckets of 1m",
    ),
    (
        REPORTS,
        {"bucket": "1d", "from": "2026-07-01T00:00:00Z", "fill": "empty", "cursor": "x"},
        "cursor",
        "x",
        "a filled series has one page",
    ),
    ("/api/v1/quarantine", {"reason": "Bad Reason"}, "reason", "Bad Reason", "pattern"),
    ("/api/v1/books", {"shard": "MAIN"}, "shard", "MAIN", "pattern"),
    ("/api/v1/rules", {"family": "bridge"}, "family", "bridge", "cover, road"),
]


def test_a_wrong_parameter_is_named_with_its_value_and_what_is_allowed(city: Served) -> None:
    for path, query, field, value, allowed in QUERIES:
        document = problem(city.get(path, **query), 422, "invalid")
        errors = {error["field"]: error for error in document["errors"]}
        assert field in errors, (path, query, document)
        assert errors[field]["place"] == "query"
        assert value in errors[field]["value"], (path, query, document)
        assert allowed in errors[field]["message"], (path, query, document)
        assert errors[field]["message"] in document["detail"]


def test_every_wrong_parameter_of_a_call_is_named(city: Served) -> None:
    document = problem(city.get("/api/v1/alarms", limit=0, state="x", severity=9), 422, "invalid")
    assert {error["field"] for error in document["errors"]} == {"limit", "state", "severity.0"}


NOT_THERE = [
    "/api/v1/areas/419999",
    "/api/v1/assets/999",
    "/api/v1/devices/nobody",
    "/api/v1/devices/nobody/reports",
    "/api/v1/alarms/999",
    "/api/v1/rules/cover.nothing",
    "/api/v1/quarantine/999",
    "/api/v1/nothing",
    "/nothing",
    "/docs",
    "/openapi.json",
    "/",
    "/api/v1/devices/",
]

IMPOSSIBLE_PATHS = [
    ("/api/v1/alarms/one", "episode_key", "one"),
    ("/api/v1/alarms/0", "episode_key", "0"),
    ("/api/v1/alarms/9223372036854775808", "episode_key", "9223372036854775808"),
    ("/api/v1/assets/2147483648", "asset_key", "2147483648"),
    ("/api/v1/devices/a%20b", "device_id", "a b"),
    ("/api/v1/devices/a%00b", "device_id", "a"),
    ("/api/v1/devices/" + "x" * 65, "device_id", "xxx"),
    ("/api/v1/areas/abc", "code", "abc"),
    ("/api/v1/rules/tilt", "rule_id", "tilt"),
]

BODIES = [
    ({}, "reason", "Field required"),
    ({"reason": ""}, "reason", "at least 1 character"),
    ({"reason": "   "}, "reason", "at least 1 character"),
    ({"reason": "x" * 501}, "reason", "at most 500 characters"),
    ({"reason": "a\u0000b"}, "reason", "pattern"),
    ({"reason": 7}, "reason", "valid string"),
    ({"reason": "ok", "note": "x"}, "note", "there is no such field"),
    (["reason"], "body", "valid dictionary"),
]


def test_what_is_not_there(api: Served) -> None:
    for path in NOT_THERE:
        problem(api.get(path, Role.administrator), 404, "not-found")


def test_a_path_that_cannot_be(api: Served) -> None:
    for path, field, value in IMPOSSIBLE_PATHS:
        [error] = problem(api.get(path), 422, "invalid")["errors"]
        assert (error["field"], error["place"]) == (field, "path")
        assert value in error["value"]


def test_a_method_that_a_path_has_not(api: Served) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = api.call(method, "/api/v1/devices")
        problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == "GET"


def test_a_body_that_is_not_valid(city: Served) -> None:
    for body, field, message in BODIES:
        [error] = problem(city.post("/api/v1/alarms/2/close", body=body), 422, "invalid")["errors"]
        assert (error["field"], error["place"]) == (field, "body")
        assert message in error["message"], (body, error)


def _raw(api: Served, content: bytes, **headers: str) -> httpx.Response:
    return api.call(
        "POST",
        "/api/v1/alarms/2/close",
        Role.operator,
        content=content,
        headers={"Content-Type": "application/json"} | headers,
    )


def test_a_body_that_is_not_json(city: Served) -> None:
    [error] = problem(_raw(city, b'{"reason": '), 422, "invalid")["errors"]
    assert error["message"].startswith("not JSON")
    problem(_raw(city, b"[" * 20_000), 400, "bad-request")
    problem(_raw(city, b'"\xff"'), 400, "bad-request")
    problem(_raw(city, b'{"reason": "\\ud800"}'), 422, "invalid")
    problem(_raw(city, b"reason=x", **{"Content-Type": "application/x-www-form-urlencoded"}), 422, "invalid")


def test_a_body_that_is_too_large(city: Served) -> None:
    large = b'{"reason": "' + b"x" * MAX_BODY_BYTES + b'"}'
    document = problem(_raw(city, large), 413, "too-large")
    assert str(MAX_BODY_BYTES) in document["detail"]

    def in_pieces() -> Any:
        for _ in range(20):
            yield b"x" * 8192

    answer = city.client.post(
        f"{city.url}/api/v1/alarms/2/close",
        headers={"Authorization": f"Bearer {city.secrets[Role.operator]}"},
        content=in_pieces(),
    )
    problem(answer, 413, "too-large")


def test_a_mistake_of_ours_is_a_problem_document_without_the_mistake(
    city: Served, caplog: pytest.LogCaptureFixture
) -> None:
    city.run("ALTER TABLE books RENAME TO books_of_old")
    document = problem(city.get("/api/v1/books"), 500, "internal")
    assert "books" not in document["detail"]
    assert document["incident"] in caplog.text
    assert "books" in caplog.text


def test_without_a_database_every_call_is_told_so(database: str) -> None:
    away = f"postgresql://underfoot:secret@127.0.0.1:{nobody_there()}/none"
    with served(away, f"mqtt://127.0.0.1:{nobody_there()}") as url:
        key = {"Authorization": "Bearer uf_" + "x" * 43}
        answer = httpx.get(f"{url}/api/v1/devices", headers=key, timeout=30)
        document = problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "2"
        assert "secret" not in str(document)
        assert httpx.get(f"{url}/healthz").status_code == 200


def test_a_question_that_takes_too_long_is_ended(city: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.app.STATEMENT_TIMEOUT_S", 1)
    key = {"Authorization": f"Bearer {city.secrets[Role.viewer]}"}
    with (
        served(city.database, f"mqtt://127.0.0.1:{nobody_there()}") as url,
        psycopg.connect(city.database) as other,
    ):
        other.execute("LOCK TABLE books")
        answer = httpx.get(f"{url}/api/v1/books", headers=key, timeout=30)
    document = problem(answer, 503, "unavailable")
    assert "too long" in document["detail"]
    assert answer.headers["retry-after"] == "5"


def test_security_headers_are_on_every_answer(api: Served) -> None:
    for answer in (
        api.get("/healthz", None),
        api.get("/nothing"),
        api.get("/api/v1/devices", None),
        api.get("/metrics"),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-frame-options"] == "DENY"
        assert "server" not in answer.headers


def test_the_log_has_no_secret_no_query_and_no_forged_line(city: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "httpx")  # the caller's own
    caplog.set_level("INFO", "underfoot.api")
    city.get("/api/v1/alarms", device="cover-0312")
    city.get("/api/v1/devices/x%0aforged%20line")
    deadline = time.monotonic() + 10  # an answer may be read before its line is written
    while caplog.text.count("the-viewer") < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "/api/v1/alarms 200" in caplog.text
    assert caplog.text.count("the-viewer") == 2
    assert "cover-0312" not in caplog.text
    assert city.secrets[Role.viewer] not in caplog.text
    assert "\nforged line" not in caplog.text


def test_errors_are_problem_documents_whatever_is_asked_for(api: Served) -> None:
    answer = api.call("GET", "/nothing", headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == PROBLEM

"""Rules, quarantine and books."""

from __future__ import annotations

import base64
from typing import Any

from api.roles import Role
from tests.integration.api.served import Served, problem


def test_rules_in_force(city: Served) -> None:
    first = city.ok("/api/v1/rules", limit=1)
    assert [(rule["rule_id"], rule["version"], rule["created_by"]) for rule in first["items"]] == [
        ("cover.tilt", 2, "li")
    ]
    rest = city.ok("/api/v1/rules", limit=5, cursor=first["next"])
    assert [(rule["rule_id"], rule["title"]) for rule in rest["items"]] == [("road.underpass", "下穿积水")]
    assert rest["next"] is None
    assert [rule["rule_id"] for rule in city.ok("/api/v1/rules", family="road")["items"]] == ["road.underpass"]


def test_a_rule_with_its_versions(city: Served) -> None:
    rule = city.ok("/api/v1/rules/cover.tilt")
    assert [version["version"] for version in rule["versions"]] == [2, 1]
    assert rule["in_force"]["version"] == 2
    assert rule["in_force"]["text"].startswith("井盖倾斜：倾角与基准值之差 ≥ 25 ° → 红")
    withdrawn = city.ok("/api/v1/rules/lamp.door")
    assert withdrawn["in_force"] is None
    assert [version["withdrawn"] for version in withdrawn["versions"]] == [True, False]


def _set_aside(city: Served) -> None:
    city.run(
        "INSERT INTO quarantine (shard, received_at, topic, payload, digest, packet_id, reason, detail, device_id)"
        " SELECT 'main', '2026-07-01Z'::timestamptz + n / 2 * interval '1 minute', 'underfoot/v1/x',"
        " convert_to('{\"n\": ' || n, 'UTF8'), sha256(int4send(n)), n,"
        " CASE WHEN n % 3 = 0 THEN 'undecodable' ELSE 'unknown_device' END, 'because', 'd-' || n"
        " FROM generate_series(1, 9) n"
    )


def test_quarantine_is_listed_newest_first_by_reason_and_time(city: Served) -> None:
    _set_aside(city)

    def keys(**query: Any) -> list[int]:
        found: list[int] = []
        while True:
            page = city.ok("/api/v1/quarantine", limit=2, **query)
            found += [item["quarantine_key"] for item in page["items"]]
            if page["next"] is None:
                return found
            query["cursor"] = page["next"]

    assert keys() == [9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert keys(reason="undecodable") == [9, 6, 3]
    assert keys(reason="nothing") == []
    assert keys(shard="other") == []
    assert keys(**{"from": "2026-07-01T00:02:00Z", "to": "2026-07-01T00:04:00Z"}) == [7, 6, 5, 4]
    [item] = city.ok("/api/v1/quarantine", limit=1)["items"]
    assert (item["bytes"], item["detail"], item["device_id"]) == (7, "because", "d-9")
    assert "payload" not in str(item)


def test_quarantine_is_counted_by_reason(city: Served) -> None:
    _set_aside(city)
    counts = city.ok("/api/v1/quarantine/counts")
    assert counts["messages"] == 9
    assert [(each["reason"], each["messages"]) for each in counts["reasons"]] == [
        ("unknown_device", 6),
        ("undecodable", 3),
    ]
    assert counts["reasons"][1]["newest"] == "2026-07-01T00:04:00Z"
    assert city.ok("/api/v1/quarantine/counts", to="2026-07-01T00:01:00Z")["messages"] == 1


def test_a_quarantined_message_is_shown_whole_to_an_operator(city: Served) -> None:
    _set_aside(city)
    payload = b"\xff\xfe\x00 not text"
    city.run("UPDATE quarantine SET payload = %s WHERE quarantine_key = 2", [payload])
    message = city.ok("/api/v1/quarantine/1", Role.operator)
    assert message["payload_text"] == '{"n": 1'
    assert base64.b64decode(message["payload_base64"]) == b'{"n": 1'
    assert len(message["digest"]) == 64
    binary = city.ok("/api/v1/quarantine/2", Role.operator)
    assert (binary["payload_text"], base64.b64decode(binary["payload_base64"])) == (None, payload)
    problem(city.get("/api/v1/quarantine/1", Role.viewer), 403, "role-too-low")


def _books(city: Served) -> None:
    city.run("INSERT INTO shards (shard, filters) VALUES ('north', '{}')")
    city.run(
        "INSERT INTO books (shard, minute, received, redelivered, unpacked, stored, duplicate, quarantined, late)"
        " SELECT shard, '2026-07-01Z'::timestamptz + n * interval '1 minute', 10, 1, 2, 9, 2, 1, 3"
        " FROM generate_series(0, 4) n CROSS JOIN (VALUES ('main'), ('north')) AS s (shard)"
    )


def test_books_minute_by_minute(city: Served) -> None:
    _books(city)
    lines = []
    query: dict[str, Any] = {"limit": 3}
    while True:
        page = city.ok("/api/v1/books", **query)
        lines += [(item["minute"], item["shard"]) for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert lines == [(f"2026-07-01T00:0{n}:00Z", shard) for n in (4, 3, 2, 1, 0) for shard in ("north", "main")]
    span = {"from": "2026-07-01T00:01:00Z", "to": "2026-07-01T00:02:00Z"}
    [minute] = city.ok("/api/v1/books", shard="main", **span)["items"]
    assert (minute["received"], minute["unpacked"], minute["stored"], minute["late"]) == (10, 2, 9, 3)


def test_books_in_total_with_the_balance(city: Served) -> None:
    empty = city.ok("/api/v1/books/totals")
    assert (empty["total"]["received"], empty["balance"], empty["shards"]) == (
        0,
        {"balanced": True, "difference": 0},
        [],
    )
    _books(city)
    totals = city.ok("/api/v1/books/totals")
    assert totals["total"] == {
        "received": 100, "redelivered": 10, "by_inbox": 0, "unpacked": 20, "stored": 90, "duplicate": 20,
        "quarantined": 10, "forwarded": 0, "discarded": 0, "late": 30,
    }  # fmt: skip
    assert totals["balance"] == {"balanced": True, "difference": 0}
    assert [(each["shard"], each["received"]) for each in totals["shards"]] == [("main", 50), ("north", 50)]
    assert city.ok("/api/v1/books/totals", shard="main", to="2026-07-01T00:02:00Z")["total"]["stored"] == 18


def test_books_that_do_not_balance_are_told(city: Served) -> None:
    _books(city)
    city.run("ALTER TABLE books DROP CONSTRAINT books_balance")
    city.run("UPDATE books SET stored = 7 WHERE shard = 'main' AND minute = '2026-07-01T00:03:00Z'")
    assert city.ok("/api/v1/books/totals")["balance"] == {"balanced": False, "difference": 2}
    city.run("UPDATE books SET forwarded = 1, discarded = 1 WHERE shard = 'main' AND stored = 7")
    assert city.ok("/api/v1/books/totals")["balance"] == {"balanced": True, "difference": 0}
    city.run("UPDATE books SET forwarded = 0, discarded = 0")
    # Two shards' mistakes do not make up for each other.
    city.run("UPDATE books SET stored = 11 WHERE shard = 'north' AND minute = '2026-07-01T00:03:00Z'")
    assert city.ok("/api/v1/books/totals")["balance"] == {"balanced": False, "difference": 0}

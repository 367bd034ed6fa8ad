"""Quarantine by source and vendor, its replay, and newcomers, over the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from api.roles import Role
from ingest.arrival import Origin
from ingest.newcomers import note_newcomers
from ingest.quarantine import released
from ingest.reasons import Rejection
from tests.integration.api.served import Served, problem
from tests.integration.rejecting import Quarantine
from underfoot.ledger.newcomers import switch

REPLAY = "/api/v1/quarantine/replay"
ASSET = "4105020103000312"


@pytest.fixture
def kept(city: Served) -> Iterator[Quarantine]:
    made = Quarantine(city.database)
    made.keep(
        made.reject("A", at_s=0),
        made.reject("B", Rejection.values_missing, at_s=60, vendor="甲厂"),
        made.reject("C", at_s=120, origin=Origin(1, "http", "甲厂"), topic="http/x"),
        made.reject("D", at_s=180),
    )
    released(made.connection, made.keys()[3:])
    yield made
    made.close()


def test_quarantine_is_listed_by_source_vendor_device_and_state(city: Served, kept: Quarantine) -> None:
    def devices(**query: Any) -> list[str]:
        return [item["device_id"] for item in city.ok("/api/v1/quarantine", **query)["items"]]

    assert devices() == ["C", "B", "A"]
    assert devices(source="http") == ["C"]
    assert devices(vendor="甲厂") == ["C", "B"]
    assert devices(device="A") == ["A"]
    assert devices(state="released") == ["D"]
    assert devices(state="all") == ["D", "C", "B", "A"]
    (item,) = city.ok("/api/v1/quarantine", state="released")["items"]
    assert (item["source"], item["vendor"], item["replays"]) == ("mqtt", "", 0)
    assert item["released_at"] is not None
    assert city.ok(f"/api/v1/quarantine/{item['quarantine_key']}", Role.operator)["released_at"] is not None


def test_quarantine_is_counted_by_reason_source_and_vendor(city: Served, kept: Quarantine) -> None:
    counts = city.ok("/api/v1/quarantine/counts")
    assert counts["messages"] == 3
    assert [(each["reason"], each["messages"], each["newest"]) for each in counts["reasons"]] == [
        ("unknown_device", 2, "2026-07-01T04:02:00Z"),
        ("values_missing", 1, "2026-07-01T04:01:00Z"),
    ]
    assert [(each["reason"], each["source"], each["vendor"], each["messages"]) for each in counts["groups"]] == [
        ("unknown_device", "http", "甲厂", 1),
        ("unknown_device", "mqtt", "", 1),
        ("values_missing", "mqtt", "甲厂", 1),
    ]
    assert city.ok("/api/v1/quarantine/counts", vendor="甲厂", reason="values_missing")["messages"] == 1
    assert city.ok("/api/v1/quarantine/counts", state="all")["messages"] == 4
    assert 'underfoot_quarantine_messages{reason="unknown_device"} 2.0' in city.get("/metrics").text


def test_an_operator_replays(city: Served, kept: Quarantine) -> None:
    a, b, c, _ = kept.keys()
    dry = city.post(REPLAY, body={"vendor": "甲厂", "dry_run": True})
    assert dry.json() == {"matching": 2, "under_way": 0, "posted": 2, "dry_run": True}
    assert kept.inbox() == []
    done = city.post(REPLAY, body={"vendor": "甲厂"})
    assert done.json() == {"matching": 2, "under_way": 0, "posted": 2, "dry_run": False}
    assert [row["payload"]["quarantine_key"] for row in kept.inbox()] == [b, c]
    again = city.post(REPLAY, body={"all": True, "limit": 5}).json()
    assert again == {"matching": 3, "under_way": 2, "posted": 1, "dry_run": False}
    assert kept.inbox()[-1]["payload"]["quarantine_key"] == a
    audit = kept.rows("SELECT actor, detail FROM audit WHERE action = 'quarantine.replay' ORDER BY audit_key")
    assert audit[0] == {"actor": "the-operator", "detail": {"vendor": "甲厂", "posted": 2}}


def test_a_replay_goes_on_where_its_limit_ended_the_one_before(city: Served, kept: Quarantine) -> None:
    posted = [city.post(REPLAY, body={"all": True, "limit": 2}).json()["posted"] for _ in range(3)]
    assert posted == [2, 1, 0]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "say which: reason, source, vendor"),
        ({"dry_run": True}, "say which: reason, source, vendor"),
        ({"quarantine_keys": []}, "at least 1 item"),
        ({"quarantine_keys": [0]}, "greater than or equal to 1"),
        ({"all": True, "limit": 10_001}, "less than or equal to 10000"),
        ({"reason": "Not a reason"}, "should match pattern"),
        ({"from": "yesterday"}, "RFC 3339"),
        ({"resaon": "x"}, "there is no such field"),
    ],
)
def test_what_is_no_replay(city: Served, body: Any, said: str) -> None:
    assert said in problem(city.post(REPLAY, body=body), 422, "invalid")["detail"]


def test_a_viewer_does_not_replay(city: Served) -> None:
    problem(city.post(REPLAY, Role.viewer, {"all": True}), 403, "role-too-low")


@pytest.mark.parametrize("query", [{"state": "open"}, {"source": "a b"}, {"device": "a b"}, {"vendor": ""}])
def test_a_filter_that_cannot_be_is_named(city: Served, query: dict[str, str]) -> None:
    (name,) = query
    for path in ("/api/v1/quarantine", "/api/v1/quarantine/counts"):
        assert problem(city.get(path, **query), 422, "invalid")["errors"][0]["field"] == name


# newcomers ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def waiting(city: Served) -> Iterator[Quarantine]:
    made = Quarantine(city.database)
    switch(made.connection, "4105", True, actor="test")
    rejected = [made.reject(f"N-{number}", at_s=number) for number in range(3)]
    rejected.append(made.reject("R-1", topic="underfoot/v1/410503/road/R-1/report"))
    note_newcomers(made.connection, made.keep(*rejected).added, 100)
    yield made
    made.close()


def ids(city: Served, **query: Any) -> list[str]:
    found: list[str] = []
    while True:
        page = city.ok("/api/v1/newcomers", limit=2, **query)
        found += [item["device_id"] for item in page["items"]]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


def test_newcomers_are_listed_by_district(city: Served, waiting: Quarantine) -> None:
    assert ids(city) == ["N-0", "N-1", "N-2", "R-1"]
    assert ids(city, area="410503") == ids(city, family="road") == ["R-1"]
    assert ids(city, area="42") == ids(city, state="refused") == []
    item = city.ok("/api/v1/newcomers", limit=1)["items"][0]
    assert item == {
        "device_id": "N-0", "family": "cover", "district": "410502", "vendor": "", "gateway_id": None, "source": "mqtt",
        "first_seen": "2026-07-01T04:00:00Z", "last_seen": "2026-07-01T04:00:00Z", "reports": 1, "state": "waiting",
        "decided_by": None, "decided_at": None,
    }  # fmt: skip


def test_an_operator_approves_and_refuses(city: Served, waiting: Quarantine) -> None:
    wanted = {"asset_code": ASSET, "expected_interval_s": 600}
    approved = city.post("/api/v1/newcomers/N-0/approve", body=wanted)
    assert (approved.status_code, approved.json()) == (200, {"device_ids": ["N-0"], "replayed": 1})
    device = city.ok("/api/v1/devices/N-0")
    assert (device["family"], device["expected_interval_s"]) == ("cover", 600)
    assert [row["payload"]["topic"] for row in waiting.inbox()] == ["underfoot/v1/410502/cover/N-0/report"]
    refused = city.post("/api/v1/newcomers/N-1/refuse")
    assert (refused.status_code, refused.json()) == (200, {"device_id": "N-1", "state": "refused"})
    assert city.post("/api/v1/newcomers/N-1/refuse").status_code == 200
    everyone = city.post("/api/v1/newcomers/approve", body={"area": "4105", "family": "cover", "kind": "0103"})
    assert everyone.json() == {"device_ids": ["N-2"], "replayed": 1}
    assert ids(city) == ["R-1"]
    assert city.ok("/api/v1/newcomers", state="refused")["items"][0]["decided_by"] == "the-operator"
    assert problem(city.post("/api/v1/newcomers/N-0/refuse"), 409, "conflict")["detail"].startswith("device_id = 'N-0'")


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("N-9/approve", {"kind": "0103"}, 404, "There is no newcomer 'N-9'"),
        ("N-9/refuse", None, 404, "There is no newcomer 'N-9'"),
        ("N-0/approve", {}, 422, "either an asset_code or a kind"),
        ("N-0/approve", {"kind": "0103", "asset_code": ASSET}, 422, "either an asset_code or a kind"),
        ("N-0/approve", {"area_code": "410502", "asset_code": ASSET}, 422, "an area_code goes with a kind"),
        ("N-0/approve", {"asset_code": "1"}, 422, "asset_code (body) = '1': the ledger has no such asset"),
        ("N-0/approve", {"asset_code": "4105030103000099"}, 422, "it stands in 410503, and N-0 reports from 410502"),
        ("N-0/approve", {"kind": "井!"}, 422, "kind (body) = '井!'"),
        ("N-0/approve", {"kind": "0103", "expected_interval_s": 0}, 422, "greater than or equal to 1"),
        ("N-0/approve", {"kind": "0103", "expected_interval_s": 10**9}, 422, "366 天"),
        ("approve", {"area": "410502003", "kind": "0103"}, 422, "should match pattern"),
        ("approve", {"area": "4105"}, 422, "kind (body)"),
        ("a%20b/refuse", None, 422, "device_id (path)"),
    ],
)
def test_what_cannot_be_decided_is_told(
    city: Served, waiting: Quarantine, path: str, body: Any, status: int, said: str
) -> None:
    answer = city.post(f"/api/v1/newcomers/{path}", body=body)
    assert said in problem(answer, status, "not-found" if status == 404 else "invalid")["detail"]
    assert len(ids(city)) == 4
    assert waiting.inbox() == []


def test_a_viewer_decides_nothing(city: Served, waiting: Quarantine) -> None:
    for path in ("N-0/approve", "N-0/refuse", "approve"):
        problem(city.post(f"/api/v1/newcomers/{path}", Role.viewer, {"kind": "0103"}), 403, "role-too-low")


@pytest.mark.parametrize(("name", "value"), [("state", "gone"), ("area", "410"), ("family", "toaster"), ("page", "2")])
def test_a_filter_of_newcomers_that_cannot_be_is_named(city: Served, name: str, value: str) -> None:
    [error] = problem(city.get("/api/v1/newcomers", **{name: value}), 422, "invalid")["errors"]
    assert error["field"] == name

"""HTTP push: who may, what is taken, and that an answer means a commit."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from api.app import MAX_BODY_BYTES
from api.roles import Role
from tests.integration.api.served import Served, nobody_there, problem, served
from underfoot.identity.hashes import hash_secret, new_secret

TIMED = {"id": "deviceId", "time": [{"path": "timestamp"}], "values": {}}
BODY = b'{"deviceId": "C-1", "timestamp": 1782878400000, "payload": {"RSRP": 12}}'
MOST = 262_144


class Vendors:
    """Vendors' accounts and their mappings, and what they push."""

    def __init__(self, api: Served) -> None:
        self.api = api
        self.secrets: dict[str, str] = {}
        self.account("ctwing", "甲厂", ["ctwing-cover", "timeless", "north", "withdrawn", "mqtt-only", "no-such"])
        self.mapping("ctwing-cover", TIMED)
        self.mapping("timeless", TIMED | {"time": []})
        self.mapping("mixed", TIMED, {"id": "deviceId", "values": {}})

    def account(self, name: str, vendor: str, mappings: list[str], slot: int = 0) -> None:
        secret = new_secret()
        self.secrets[name] = secret
        self.api.run(
            "WITH made AS (INSERT INTO accounts (kind, name, vendor, mappings) VALUES ('vendor', %s, %s, %s)"
            " ON CONFLICT (kind, name) DO UPDATE SET vendor = EXCLUDED.vendor RETURNING account_key)"
            " INSERT INTO credentials (account_key, slot, secret_hash, issued_by)"
            " SELECT account_key, %s, %s, 'test' FROM made",
            [name, vendor, mappings, slot, hash_secret(secret)],
        )

    def mapping(
        self,
        name: str,
        *reports: Any,
        http: bool = True,
        shard: str = "main",
        version: int = 1,
        withdrawn: bool = False,
    ) -> None:
        body = {"name": name, "shard": shard, "topics": [], "http": http, "reports": list(reports)}
        self.api.run(
            "INSERT INTO mappings (name, version, body, withdrawn, created_by) VALUES (%s, %s, %s, %s, 'test')",
            [name, version, Jsonb(body), withdrawn],
        )

    def push(
        self, body: bytes = BODY, mapping: str = "ctwing-cover", name: str = "ctwing", **headers: str
    ) -> httpx.Response:
        login = basic(f"vendor/{name}", self.secrets.get(name, "none"))
        given = {"Authorization": login} | {key.replace("_", "-"): value for key, value in headers.items()}
        return self.api.client.post(f"{self.api.url}/api/v1/push/{mapping}", content=body, headers=given)

    def rows(self) -> list[dict[str, Any]]:
        columns = ("shard", "kind", "key", "payload", "body")
        return [
            dict(zip(columns, row, strict=True))
            for row in self.api.run("SELECT shard, kind, key, payload, body FROM inbox ORDER BY inbox_key")
        ]


def basic(username: str, secret: str) -> str:
    return f"Basic {b64encode(f'{username}:{secret}'.encode()).decode()}"


@pytest.fixture
def vendors(api: Served) -> Vendors:
    return Vendors(api)


# what is taken ------------------------------------------------------------------------------------------------------


def test_a_push_is_in_the_inbox_as_it_came_once_it_is_answered(vendors: Vendors) -> None:
    before = time.time_ns() // 1000
    answer = vendors.push(Content_Type="application/json")
    assert (answer.status_code, answer.json()) == (200, {"code": 0, "message": "ok"})
    (row,) = vendors.rows()
    assert (row["shard"], row["kind"], bytes(row["body"])) == ("main", "message", BODY)
    received_us = row["payload"].pop("received_us")
    assert before <= received_us <= time.time_ns() // 1000
    assert row["payload"] == {"topic": "http/ctwing-cover", "source": "http", "vendor": "甲厂", "quarantine_key": None}


def test_the_same_push_again_is_answered_the_same_and_stored_once(vendors: Vendors) -> None:
    first = vendors.push()
    again = vendors.push(Content_Type="text/plain")
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert len(vendors.rows()) == 1
    vendors.api.run("UPDATE inbox SET consumed_at = now(), outcome = 'done'")
    assert vendors.push().status_code == 200
    assert len(vendors.rows()) == 1, "as long as the consumed row is kept"
    assert vendors.push(BODY + b" ").status_code == 200
    assert len(vendors.rows()) == 2, "other bytes are another message"


def test_the_same_push_from_many_hands_at_once_is_stored_once(vendors: Vendors) -> None:
    with ThreadPoolExecutor(8) as hands:
        answers = list(hands.map(lambda _: vendors.push(), range(24)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(vendors.rows()) == 1


def test_nobody_takes_anothers_place_by_pushing_its_bytes_first(vendors: Vendors) -> None:
    vendors.account("other", "乙厂", ["ctwing-cover"])
    assert vendors.push(name="other").status_code == 200
    assert vendors.push().status_code == 200
    assert [row["payload"]["vendor"] for row in vendors.rows()] == ["乙厂", "甲厂"]


@pytest.mark.parametrize("mapping", ["timeless", "mixed"])
def test_without_a_time_the_same_bytes_are_news_each_time(vendors: Vendors, mapping: str) -> None:
    """A cover that is opened, closed and opened again says the same twice: the second is not taken for the first."""
    vendors.api.run("UPDATE accounts SET mappings = mappings || '{mixed}'")
    assert [vendors.push(mapping=mapping).status_code for _ in range(2)] == [200, 200]
    assert len(vendors.rows()) == 2


@pytest.mark.parametrize("body", [b"[" + BODY + b"," + BODY + b"]", bytes(range(256)), b"\x00", b"not JSON"])
def test_any_bytes_are_one_message(vendors: Vendors, body: bytes) -> None:
    assert vendors.push(body).status_code == 200
    assert [bytes(row["body"]) for row in vendors.rows()] == [body]


def test_the_mappings_shard_takes_it_in(vendors: Vendors) -> None:
    vendors.api.run("INSERT INTO shards (shard, filters) VALUES ('north', '{}')")
    vendors.mapping("north", TIMED, shard="north")
    assert vendors.push(mapping="north").status_code == 200
    vendors.mapping("north", TIMED, shard="gone", version=2)
    assert vendors.push(BODY + b" ", mapping="north").status_code == 200
    assert [row["shard"] for row in vendors.rows()] == ["north", "main"], "a shard that is not there: the main one's"


def test_both_secrets_of_a_rotation_open_and_so_does_a_bearer_token(vendors: Vendors) -> None:
    old = vendors.secrets["ctwing"]
    vendors.account("ctwing", "甲厂", [], slot=1)
    for number, (username, secret) in enumerate(
        [("vendor/ctwing", old), ("v1/vendor/ctwing", vendors.secrets["ctwing"])]
    ):
        for scheme in (basic(username, secret), f"Bearer {username}:{secret}"):
            answer = vendors.api.client.post(
                f"{vendors.api.url}/api/v1/push/ctwing-cover", content=b"%d" % number, headers={"Authorization": scheme}
            )
            assert answer.status_code == 200, answer.text
    assert len(vendors.rows()) == 2


def test_a_push_waits_for_no_holder(vendors: Vendors) -> None:
    """The holder of the shard is within a batch: it has the shard's row, and is in the inbox."""
    vendors.push()
    with psycopg.connect(vendors.api.database) as holder:
        holder.execute("SELECT 1 FROM shards WHERE shard = 'main' FOR NO KEY UPDATE")
        holder.execute("SELECT 1 FROM inbox WHERE consumed_at IS NULL FOR UPDATE")
        began = time.monotonic()
        assert vendors.push(BODY + b" ").status_code == 200
        assert time.monotonic() - began < 2
        holder.rollback()


# an answer means a commit -------------------------------------------------------------------------------------------


def test_what_cannot_be_committed_is_not_acknowledged(vendors: Vendors) -> None:
    vendors.api.run(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$;"
        " CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON inbox DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION fail()"
    )
    document = problem(vendors.push(), 503, "unavailable")
    assert "database" in document["detail"]
    assert vendors.rows() == []
    vendors.api.run("DROP TRIGGER fail ON inbox")
    assert vendors.push().status_code == 200
    assert len(vendors.rows()) == 1


def test_without_the_database_nothing_is_acknowledged_and_the_answer_says_when_to_come_back() -> None:
    nowhere = f"postgresql://nobody@127.0.0.1:{nobody_there()}/none"
    with served(nowhere, f"mqtt://127.0.0.1:{nobody_there()}") as url, httpx.Client(timeout=30) as client:
        answer = client.post(
            f"{url}/api/v1/push/ctwing-cover", content=BODY, headers={"Authorization": basic("vendor/ctwing", "x")}
        )
    problem(answer, 503, "unavailable")
    assert int(answer.headers["retry-after"]) > 0


# who may ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (None, "the Authorization header is missing"),
        ("Basic", "a user name and a secret"),
        ("Basic !!!", "not Base64"),
        ("Basic dmVuZG9yL2N0d2luZzp4eA=", "not Base64"),
        (f"Basic {b64encode(bytes([255, 254])).decode()}", "not Base64 of `user name:secret` in UTF-8"),
        (f"Basic {b64encode(b'vendor/ctwing').decode()}", "with a colon between them"),
        (basic("", "x"), "a user name and a secret"),
        (basic("vendor/ctwing", ""), "a user name and a secret"),
        (basic("vendor/ctwing", "wrong"), "open nothing"),
        (basic("vendor/ctwing", "x" * 5000), "open nothing"),
        (basic("vendor/nobody", "wrong"), "open nothing"),
        (basic("ctwing", "wrong"), "open nothing"),
        (basic("vendor/a\0b", "wrong"), "open nothing"),
        ("Digest x", "not of the form"),
        ("Bearer uf_x", "with a colon between them"),
    ],
)
def test_who_does_not_log_in_is_told_how(vendors: Vendors, header: str | None, why: str) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = vendors.api.client.post(f"{vendors.api.url}/api/v1/push/ctwing-cover", content=BODY, headers=headers)
    assert why in problem(answer, 401, "no-key")["detail"]
    assert answer.headers["www-authenticate"].startswith('Basic realm="underfoot"')
    assert vendors.rows() == []


def test_a_key_of_the_api_does_not_push(vendors: Vendors) -> None:
    problem(vendors.api.call("POST", "/api/v1/push/ctwing-cover", Role.administrator, content=BODY), 401, "no-key")


def test_a_revoked_secret_opens_nothing_from_then_on(vendors: Vendors) -> None:
    assert vendors.push().status_code == 200
    vendors.api.run("UPDATE credentials SET revoked_at = now()")
    problem(vendors.push(BODY + b" "), 401, "no-key")
    assert len(vendors.rows()) == 1


def test_a_devices_account_does_not_push(vendors: Vendors) -> None:
    secret = new_secret()
    vendors.api.run(
        "INSERT INTO areas (code, name, level) VALUES ('410502', 'a', 'district');"
        " INSERT INTO assets (asset_code, kind, name, area_code) VALUES ('x', '0103', 'x', '410502');"
        " INSERT INTO devices (device_id, family, district, asset_key, expected_interval_s)"
        " SELECT 'C-1', 'cover', '410502', asset_key, 60 FROM assets;"
        " INSERT INTO accounts (kind, name, device_key) SELECT 'device', 'C-1', device_key FROM devices"
    )
    vendors.api.run(
        "INSERT INTO credentials (account_key, slot, secret_hash, issued_by)"
        " SELECT account_key, 0, %s, 'test' FROM accounts WHERE kind = 'device'",
        [hash_secret(secret)],
    )
    answer = vendors.api.client.post(
        f"{vendors.api.url}/api/v1/push/ctwing-cover",
        content=BODY,
        headers={"Authorization": basic("410502/cover/C-1", secret)},
    )
    assert "'C-1' is the account of a device" in problem(answer, 403, "role-too-low")["detail"]
    assert vendors.rows() == []


def test_an_account_uses_its_own_mappings_only(vendors: Vendors) -> None:
    vendors.mapping("theirs", TIMED)
    told = problem(vendors.push(mapping="theirs"), 403, "role-too-low")["detail"]
    assert told == "The account 'ctwing' may not use the mapping 'theirs'."
    assert vendors.rows() == []


# what is refused ----------------------------------------------------------------------------------------------------


def _withdraw(vendors: Vendors) -> str:
    vendors.mapping("withdrawn", TIMED)
    vendors.mapping("withdrawn", TIMED, version=2, withdrawn=True)
    return "withdrawn"


def _not_for_http(vendors: Vendors) -> str:
    vendors.mapping("mqtt-only", TIMED, http=False)
    return "mqtt-only"


@pytest.mark.parametrize(
    "which",
    [lambda _: "no-such", lambda _: "No%20Such", lambda _: "a%00b", lambda _: "x" * 33, _withdraw, _not_for_http],
)
def test_a_mapping_that_is_not_in_force_is_named(vendors: Vendors, which: Callable[[Vendors], str]) -> None:
    mapping = which(vendors)
    told = problem_of(vendors.push(mapping=mapping), 404)
    assert mapping.replace("%20", " ").replace("%00", "\\x00") in told
    assert vendors.rows() == []


def problem_of(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    detail: str = answer.json()["detail"]
    return detail


def test_an_empty_body_is_refused(vendors: Vendors) -> None:
    assert "The body is empty" in problem(vendors.push(b""), 400, "bad-request")["detail"]
    assert vendors.rows() == []


def test_a_compressed_body_is_refused(vendors: Vendors) -> None:
    told = problem(vendors.push(b"\x1f\x8b", Content_Encoding="gzip"), 400, "bad-request")["detail"]
    assert "Content-Encoding = 'gzip'" in told
    assert vendors.push(Content_Encoding="identity").status_code == 200


def test_a_body_may_be_as_long_as_the_setting_says_and_no_longer(vendors: Vendors) -> None:
    assert MOST > MAX_BODY_BYTES
    assert vendors.push(b"x" * MOST).status_code == 200
    assert f"at most {MOST} bytes" in problem(vendors.push(b"x" * (MOST + 1)), 413, "too-large")["detail"]

    def in_pieces() -> Iterator[bytes]:
        for _ in range(5):
            yield b"x" * (MOST // 4)

    headers = {"Authorization": basic("vendor/ctwing", vendors.secrets["ctwing"])}
    answer = vendors.api.client.post(
        f"{vendors.api.url}/api/v1/push/ctwing-cover", content=in_pieces(), headers=headers
    )
    problem(answer, 413, "too-large")
    assert len(vendors.rows()) == 1
    problem(vendors.api.call("POST", "/api/v1/keys", Role.administrator, content=b"x" * MOST), 413, "too-large")


def test_only_post_pushes(vendors: Vendors) -> None:
    problem(vendors.api.get("/api/v1/push/ctwing-cover"), 405, "method-not-allowed")

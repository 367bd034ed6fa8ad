"""What a broker asks (EMQX 5's HTTP authenticator and authorizer), and the credentials' own routes."""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from api.roles import Role
from tests.integration.api.served import Served, problem
from underfoot.identity.certificates import Authority
from underfoot.identity.certify import certify
from underfoot.storage.connect import connect

CITY = Path(__file__).parent.parent / "identity_city.sql"
OWN = "underfoot/v1/410502/cover/NB-1"


@pytest.fixture
def town(api: Served) -> Served:
    api.run(CITY.read_text(encoding="utf-8"))
    return api


def issue(api: Served, kind: str, *names: str, **more: Any) -> list[dict[str, Any]]:
    answer = api.post("/api/v1/credentials", Role.administrator, {"kind": kind, "names": names, **more})
    assert answer.status_code == 201, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def comes_in(api: Served, user_name: object, secret: object, **more: object) -> bool:
    body = {"username": user_name, "password": secret, "clientid": "c", **more}
    answer = api.post("/api/v1/broker/authenticate", Role.broker, body)
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"result", "is_superuser"}
    assert answer.json()["is_superuser"] is False
    return bool(answer.json()["result"] == "allow")


def may(api: Served, user_name: str, action: str, topic: str) -> bool:
    body = {"username": user_name, "action": action, "topic": topic, "qos": "1"}
    answer = api.post("/api/v1/broker/authorize", Role.broker, body)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["result"]
    return bool(answer.json()["result"] == "allow")


def test_who_comes_in(town: Served) -> None:
    [device] = issue(town, "device", "NB-1")
    assert comes_in(town, device["user_name"], device["secret"])
    for user_name, secret in [
        (device["user_name"], device["secret"][:-1]),
        (device["user_name"], ""),
        (device["user_name"], None),
        (None, device["secret"]),
        ("", ""),
        ("undefined", "undefined"),
        ("NB-1", device["secret"]),
        ("v1/" + device["user_name"], device["secret"]),
        ("410502/cover/NB-2", device["secret"]),
        ("410503/cover/NB-1", device["secret"]),
        ("410502/road/NB-1", device["secret"]),
        ("410502/cover/NB-1\0", device["secret"]),
        ("410502/cover/NB-1", "\0"),
        ("x" * 10_000, "y" * 10_000),
        ("' OR true --", "' OR true --"),
    ]:
        assert not comes_in(town, user_name, secret), user_name


def test_what_was_revoked_moved_or_retired_opens_nothing_at_once(town: Served) -> None:
    secrets = {each["name"]: each for each in issue(town, "device", "NB-1", "NB-2", "R-2")}
    for each in secrets.values():
        assert comes_in(town, each["user_name"], each["secret"])
        assert may(town, each["user_name"], "publish", f"underfoot/v1/{each['user_name']}/report")
    assert town.call("DELETE", "/api/v1/credentials/device/NB-1", Role.administrator).status_code == 200
    town.run("UPDATE devices SET district = '410503' WHERE device_id = 'NB-2'")
    town.run("UPDATE devices SET status = 'retired' WHERE device_id = 'R-2'")
    for each in secrets.values():
        assert not comes_in(town, each["user_name"], each["secret"])
        assert not may(town, each["user_name"], "publish", f"underfoot/v1/{each['user_name']}/report")
    assert comes_in(town, "410503/cover/NB-2", secrets["NB-2"]["secret"]), "it is known where it is now"


def test_what_each_may(town: Served) -> None:
    [device] = issue(town, "device", "NB-1")
    [gateway] = issue(town, "gateway", "GW-1")
    [vendor] = issue(town, "vendor", "acme", vendor="Acme", mappings=["acme-well"])
    [ingest] = issue(town, "service", "ingest", duty="ingest")
    for user, action, topic, allowed in [
        (device, "publish", f"{OWN}/report", True),
        (device, "subscribe", f"{OWN}/command", True),
        (device, "publish", f"{OWN}/command", False),
        (device, "subscribe", "#", False),
        (device, "subscribe", f"{OWN}/+", False),
        (device, "publish", "underfoot/v1/410503/cover/NB-1/report", False),
        (device, "publish", "underfoot/v1/410502/cover/NB-2/report", False),
        (gateway, "publish", "underfoot/v1/410502/gateway/GW-1/batch", True),
        (gateway, "publish", "underfoot/v1/410502/road/R-1/report", True),
        (gateway, "publish", "underfoot/v1/410503/road/R-1/report", False),
        (gateway, "publish", "underfoot/v1/410502/road/R-2/report", False),
        (gateway, "publish", "underfoot/v1/410502/gateway/GW-2/batch", False),
        (vendor, "publish", "underfoot/v1/410503/rain/A-1/cbor", True),
        (vendor, "publish", "/city/410500/well/status/W-9", True),
        (vendor, "publish", "old/W-9", False),
        (vendor, "publish", "underfoot/v1/410502/road/R-2/report", False),
        (vendor, "subscribe", "/city/+/well/status/+", False),
        (ingest, "subscribe", "/city/+/well/status/+", True),
        (ingest, "subscribe", "underfoot/v1/410502/+/+/report", True),
        (ingest, "subscribe", "old/+", False),
        (ingest, "subscribe", "#", False),
        (ingest, "publish", "underfoot/v1/410502/~probe/~probe/report", True),
        (ingest, "publish", f"{OWN}/report", False),
    ]:
        assert may(town, user["user_name"], action, topic) == allowed, (user["user_name"], action, topic)
    assert not may(town, "410502/cover/NB-2", "publish", "underfoot/v1/410502/cover/NB-2/report"), "no credential"
    assert not may(town, "", "publish", f"{OWN}/report")
    assert not may(town, device["user_name"], "publish", f"{OWN}/report\0")
    town.run("INSERT INTO mappings (name, version, body, withdrawn, created_by) SELECT name, 2, body, true, 'test'"
             " FROM mappings WHERE name = 'acme-well'")  # fmt: skip
    assert not may(town, vendor["user_name"], "publish", "/city/410500/well/status/W-9")


def test_nobody_but_ingest_takes_the_id_of_a_shards_session(town: Served) -> None:
    [device] = issue(town, "device", "NB-1")
    [ingest] = issue(town, "service", "ingest", duty="ingest")
    assert not comes_in(town, device["user_name"], device["secret"], clientid="underfoot-main")
    assert comes_in(town, device["user_name"], device["secret"], clientid="underfoot-mainly")
    assert comes_in(town, ingest["user_name"], ingest["secret"], clientid="underfoot-main")


def test_a_verified_certificate_needs_no_secret(town: Served, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.make()
    with connect(town.database, "test") as connection:
        user_name, _ = certify(connection, authority, "device", "NB-1", "test")
    assert comes_in(town, user_name, "", cert_common_name=user_name)
    assert comes_in(town, None, None, cert_common_name=user_name)
    assert may(town, user_name, "publish", f"{OWN}/report")
    assert not comes_in(town, user_name, "", cert_common_name="")
    assert not comes_in(town, "410502/cover/NB-2", "", cert_common_name=user_name)
    assert not comes_in(town, "410502/cover/NB-2", "", cert_common_name="410502/cover/NB-2"), "none was issued"
    town.call("DELETE", "/api/v1/credentials/device/NB-1", Role.administrator)
    assert not comes_in(town, user_name, "", cert_common_name=user_name)
    assert not may(town, user_name, "publish", f"{OWN}/report")


def test_only_a_brokers_key_asks_and_it_does_nothing_else(town: Served) -> None:
    for path in ("/api/v1/broker/authenticate", "/api/v1/broker/authorize"):
        for role in (Role.viewer, Role.operator, Role.administrator):
            problem(town.post(path, role, {"username": "x", "topic": "x", "action": "publish"}), 403, "role-too-low")
        problem(town.post(path, None, {}), 401, "no-key")
    for path in ("/api/v1/devices", "/api/v1/credentials", "/api/v1/keys", "/metrics"):
        problem(town.get(path, Role.broker), 403, "role-too-low")
    problem(town.post("/api/v1/broker/authorize", Role.broker, {"topic": "a", "action": "own"}), 422, "invalid")


def test_secrets_are_issued_rotated_listed_and_revoked(town: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    [first] = issue(town, "device", "NB-1")
    assert re.fullmatch(r"ufd_[A-Za-z0-9_-]{43}", first["secret"])
    again = town.post("/api/v1/credentials", Role.administrator, {"kind": "device", "names": ["NB-1", "NB-2"]})
    assert "'NB-1': has a secret already" in problem(again, 409, "conflict")["detail"]
    rotation = {"kind": "device", "names": ["NB-1"], "overlap_s": 3600}
    [second] = town.post("/api/v1/credentials/rotate", Role.administrator, rotation).json()["items"]
    assert second["user_name"] == "v1/410502/cover/NB-1"
    assert second["old_until"] is not None
    assert comes_in(town, first["user_name"], first["secret"])
    assert comes_in(town, second["user_name"], second["secret"])
    third = problem(town.post("/api/v1/credentials/rotate", Role.administrator, rotation), 409, "conflict")
    assert "is being rotated already" in third["detail"]
    key = first["credential_key"]
    town.call("DELETE", f"/api/v1/credentials/device/NB-1?credential={key}", Role.administrator)
    assert not comes_in(town, first["user_name"], first["secret"])
    assert comes_in(town, second["user_name"], second["secret"])
    [third] = town.post("/api/v1/credentials/rotate", Role.administrator, rotation | {"overlap_s": 0}).json()["items"]
    assert third["user_name"] == first["user_name"], "the first name was free again"
    assert not comes_in(town, second["user_name"], second["secret"]), "no overlap was asked for"
    page = town.ok("/api/v1/credentials", Role.administrator, limit=2)
    rest = town.ok("/api/v1/credentials", Role.administrator, limit=2, cursor=page["next"])
    listed = page["items"] + rest["items"]
    assert [(each["user_name"], each["good"]) for each in listed] == [
        ("410502/cover/NB-1", False),
        ("v1/410502/cover/NB-1", False),
        ("410502/cover/NB-1", True),
    ]
    assert town.ok("/api/v1/credentials", Role.administrator, kind="gateway")["items"] == []
    actions = [row[0] for row in town.run("SELECT action FROM audit WHERE subject = 'device:NB-1' ORDER BY audit_key")]
    assert actions == ["credential.issue", "credential.rotate", "credential.revoke", "credential.rotate"]
    everything = str(town.run("SELECT * FROM credentials")) + str(town.run("SELECT * FROM audit")) + caplog.text
    for each in (first, second, third):
        assert each["secret"] not in everything + str(listed)
        assert each["secret"][4:] not in everything


def test_what_cannot_be_issued(town: Served) -> None:
    town.run("UPDATE devices SET status = 'retired' WHERE device_id = 'R-2'")
    for body, status, kind, told in [
        ({"kind": "device", "names": ["NB-9"]}, 404, "not-found", "'NB-9'"),
        ({"kind": "device", "names": ["R-2"]}, 404, "not-found", "in service"),
        ({"kind": "gateway", "names": ["GW-9"]}, 404, "not-found", "'GW-9'"),
        ({"kind": "vendor", "names": ["x"]}, 409, "conflict", "vendor"),
        ({"kind": "vendor", "names": ["x"], "vendor": "X", "mappings": ["old"]}, 409, "conflict", "'old'"),
        ({"kind": "service", "names": ["x"]}, 409, "conflict", "duty"),
        ({"kind": "service", "names": ["x"], "duty": "reader", "vendor": "X"}, 409, "conflict", "vendor"),
        ({"kind": "robot", "names": ["x"]}, 422, "invalid", "kind"),
        ({"kind": "device", "names": []}, 422, "invalid", "names"),
        ({"kind": "device", "names": ["a/b"]}, 422, "invalid", "names"),
        ({"kind": "device", "names": ["NB-1"], "good_for_s": 0}, 422, "invalid", "good_for_s"),
        ({"kind": "device", "names": ["NB-1"], "secret": "mine"}, 422, "invalid", "secret"),
    ]:
        answer = town.post("/api/v1/credentials", Role.administrator, body)
        assert told in problem(answer, status, kind)["detail"], body
    assert town.run("SELECT count(*) FROM credentials") == [(0,)]
    assert town.run("SELECT count(*) FROM accounts") == [(0,)], "all or nothing"
    rotation = {"kind": "device", "names": ["NB-1"]}
    problem(town.post("/api/v1/credentials/rotate", Role.administrator, rotation), 404, "not-found")
    problem(town.call("DELETE", "/api/v1/credentials/device/NB-1", Role.administrator), 404, "not-found")


def test_what_has_expired_opens_nothing_and_is_replaced(town: Served) -> None:
    [short] = issue(town, "device", "NB-1", good_for_s=timedelta(hours=1).total_seconds())
    assert comes_in(town, short["user_name"], short["secret"])
    town.run("UPDATE credentials SET expires_at = clock_timestamp() - interval '1 s'")
    assert not comes_in(town, short["user_name"], short["secret"])
    assert not may(town, short["user_name"], "publish", f"{OWN}/report")
    [new] = issue(town, "device", "NB-1")
    assert new["user_name"] == short["user_name"]
    assert comes_in(town, new["user_name"], new["secret"])

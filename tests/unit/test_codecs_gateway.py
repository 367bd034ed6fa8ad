"""A gateway's batch: each member judged alone, in its order; and JSON of a device that says so."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.codecs import gateway, json_v1
from ingest.codecs.contract import MOST_DEEP, MOST_REPORTS, Decoded, Unusable
from ingest.reasons import Rejection
from tests.unit.codec_frames import BATCH, NATIVE, REPORT, arrival, as_agreed
from tests.unit.payloads import any_json
from underfoot.topics import GatewayTopic, parse_gateway_topic


def read(content: Any, topic: str = BATCH) -> list[Decoded | Unusable]:
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    parts = gateway.decode(arrival(topic, payload))
    as_agreed(parts)
    return parts


def member(device_id: Any, **more: Any) -> dict[str, Any]:
    return NATIVE | {"device_id": device_id} | more


@pytest.mark.parametrize(
    "wrap", [lambda members: members, lambda members: {"reports": members}], ids=["array", "object"]
)
def test_each_member_speaks_for_its_own_device(wrap: Any) -> None:
    parts = read(wrap([member("C-1"), member("P-1", family="pipe", fw="1.2")]))
    assert [part._replace(payload=b"") for part in parts] == [
        Decoded("C-1", NATIVE, b"", None, None, "GW-1"),
        Decoded("P-1", NATIVE | {"fw": "1.2"}, b"", None, "pipe", "GW-1"),
    ]


@pytest.mark.parametrize(
    "wrap", [lambda members: members, lambda members: {"reports": members}], ids=["array", "object"]
)
def test_a_malformed_member_harms_no_neighbour(wrap: Any) -> None:
    bad: list[Any] = [3, None, [], "C-1", {}, member("C 1"), member(7), member("x" * 65), member("C-2", family=7)]
    parts = read(wrap([member("C-1"), *bad, member("C-3")]))
    assert [isinstance(part, Decoded) for part in parts] == [True, *[False] * len(bad), True]
    assert [part.reason for part in parts if isinstance(part, Unusable)] == [
        *[Rejection.not_an_object] * 4,
        *[Rejection.unknown_device] * 4,
        Rejection.family_mismatch,
    ]
    assert "device_id = 'C 1'" in parts[6].detail  # type: ignore[union-attr]
    assert parts[9].device_id == "C-2"


def test_a_member_that_contradicts_itself_is_refused_alone() -> None:
    parts = read(b'[{"device_id":"A","values":{}},{"device_id":"B","values":{"open":true,"open":false}}]')
    assert [isinstance(part, Decoded) for part in parts] == [True, False]


@given(st.lists(any_json | st.just(member("C-1")), min_size=1, max_size=4), st.booleans())
def test_every_part_s_bytes_are_read_as_that_part_again(members: list[Any], as_object: bool) -> None:
    """What quarantine keeps of a batch can be replayed under the same topic."""
    for part in read({"reports": members, "fw": 1} if as_object else members):
        if part.payload.startswith(b"["):
            continue  # a list among the members, which is none
        (again,) = read(part.payload)
        assert isinstance(again, type(part))
        assert again.device_id == part.device_id


def test_what_the_gateway_says_beside_them_is_kept_with_each() -> None:
    parts = read({"gateway_rssi": -51, "reports": [member("A"), member("B")]})
    assert [part.report["around"] for part in parts if isinstance(part, Decoded)] == [{"gateway_rssi": -51}] * 2


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Rejection.empty),
        (b"[]", Rejection.empty),
        (b'{"reports": []}', Rejection.empty),
        (b'{"reports": {}}', Rejection.not_an_object),
        (b'{"reports": null}', Rejection.not_an_object),
        (b"{", Rejection.undecodable),
        (b"3", Rejection.not_an_object),
        (b'{"reports": [' + b"{}," * MOST_REPORTS + b"{}]}", Rejection.too_large),
        (b"[" + b"{}," * MOST_REPORTS + b"{}]", Rejection.too_large),
    ],
)
def test_a_batch_that_is_none(payload: bytes, reason: Rejection) -> None:
    (part,) = read(payload)
    assert isinstance(part, Unusable)
    assert part.reason is reason


def test_only_under_a_gateway_s_own_topic() -> None:
    assert parse_gateway_topic(BATCH) == GatewayTopic("410502", "GW-1")
    assert str(GatewayTopic("410502", "GW-1")) == BATCH
    for topic in (
        REPORT,
        BATCH.replace("410502", "4105"),
        BATCH.replace("GW-1", "G 1"),
        BATCH.replace("gateway", "cover"),
    ):
        (part,) = read([member("A")], topic)
        assert isinstance(part, Unusable)
        assert part.reason is Rejection.unknown_topic


# JSON that a device's ledger names ----------------------------------------------------------------------------------


def test_json_s_parts_keep_the_order_of_the_message() -> None:
    payload = b'[1, {"values":{"open":true}}, [], {"values":{"x":1,"x":2}}, {"values":{}}]'
    parts = json_v1.decode(arrival(REPORT, payload))
    as_agreed(parts)
    assert [part.report if isinstance(part, Decoded) else part.reason for part in parts] == [
        Rejection.not_an_object,
        {"values": {"open": True}},
        Rejection.not_an_object,
        Rejection.undecodable,
        {"values": {}},
    ]
    assert {part.device_id for part in parts} == {"C-1"}


def test_json_is_read_as_deep_as_any_report_is() -> None:
    def nested(depth: int) -> list[Decoded | Unusable]:
        return json_v1.decode(arrival(REPORT, b'{"x":' + b"[" * depth + b"]" * depth + b"}"))

    assert isinstance(nested(MOST_DEEP - 1)[0], Decoded)
    (part,) = nested(MOST_DEEP)
    assert isinstance(part, Unusable)
    assert part.reason is Rejection.nested_too_deep


def test_json_under_another_topic_is_nobody_s() -> None:
    (part,) = json_v1.decode(arrival("a/b", b"{}"))
    assert isinstance(part, Unusable)
    assert part.reason is Rejection.unknown_topic

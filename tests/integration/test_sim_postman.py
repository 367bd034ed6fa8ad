"""The stand-in's postman: whatever a receiver answers, every letter is on record, and none is waited for for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from simulators.platform.callbacks import Postman
from simulators.platform.course import Callbacks
from simulators.platform.records import Records
from tests.integration.owing import eventually
from tests.integration.receivers import Receiver, Reply

HABITS = Callbacks(attempts=1, together=10)


@pytest.fixture
def records() -> Records:
    return Records()


@pytest.fixture
def postman(records: Records) -> Iterator[Postman]:
    one = Postman(records)
    yield one
    one.close()


def outcomes(records: Records) -> list[str]:
    return [row["outcome"] for row in records.select("callback", None, 0, 10)]


def post(postman: Postman, url: str, count: int) -> None:
    """Of one case: they go through one lane, and what waits there goes together."""
    for number in range(count):
        postman.post(url, "SJ1", {"push_id": str(number)}, HABITS, "right")
    eventually(lambda: postman.waiting == 0)


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:9/", "nonsense", "http://x\x00y/"])
def test_an_address_that_is_none(postman: Postman, records: Records, url: str) -> None:
    post(postman, url, 2)
    assert outcomes(records) == ["given_up"] * 2


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([0, 404], ["delivered", "refused"]),
        (["0", "404"], ["delivered", "refused"]),
        ([None, 409], ["delivered", "refused"]),
        (["ok", {"is": 1}], ["delivered", "delivered"]),
        ([0], ["delivered", "delivered"]),
    ],
)
def test_a_list_is_answered_line_by_line(
    postman: Postman, records: Records, codes: list[Any], expected: list[str]
) -> None:
    with Receiver(lambda request: answer(request.body, codes)) as receiver:
        postman.post(receiver.url, "SJ1", {}, HABITS, "right")
        eventually(lambda: receiver.requests)  # and it keeps the lane until the two that go together are there
        post(postman, receiver.url, 2)
    assert outcomes(records)[-2:] == expected


def answer(body: dict[str, Any], codes: list[Any]) -> Reply:
    if "callbacks" not in body:
        return Reply(body={"code": 0}, drip_s=0.02)
    return Reply(body={"code": 0, "data": {"list": [{"code": code} for code in codes]}})


def test_what_nobody_thought_of_is_on_record_too(
    postman: Postman, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulators.platform.callbacks._headers", lambda *given: 1 / 0)
    post(postman, "http://127.0.0.1:9/", 1)
    assert outcomes(records) == ["given_up"]
    assert "ZeroDivisionError" in records.select("callback", None, 0, 10)[0]["detail"]

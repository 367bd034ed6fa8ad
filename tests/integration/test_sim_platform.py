"""The stand-in platform and robot over real HTTP: idempotency, order, access, and every misbehaviour."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from simulators.platform.access import Access
from simulators.platform.app import PlatformSettings
from tests.integration.stand_in import event, push, running


@pytest.fixture
def platform() -> Iterator[httpx.Client]:
    with running(PlatformSettings()) as client:
        yield client


def violations(client: httpx.Client) -> list[str]:
    return [violation["outcome"] for violation in client.get("/violations").json()]


def outcomes(client: httpx.Client, kind: str = "event") -> list[str]:
    return [record["outcome"] for record in client.get("/records", params={"kind": kind}).json()]


def test_an_event_is_taken_once_and_a_repeat_is_answered_as_before(platform: httpx.Client) -> None:
    first = push(platform, event("a"))
    again = push(platform, dict(reversed(event("a").items())))
    assert first.json()["code"] == 0
    assert first.json()["data"]["platform_no"].startswith("SJ20")
    assert again.json() == first.json() | {"message": "duplicate"}
    assert outcomes(platform) == ["accepted", "repeat"]
    assert violations(platform) == []


def test_one_number_an_episode(platform: httpx.Client) -> None:
    numbers = [
        push(platform, event("a")).json()["data"]["platform_no"],
        push(platform, event("b", 2, "change")).json()["data"]["platform_no"],
        push(platform, event("c", 3, "clear")).json()["data"]["platform_no"],
        push(platform, event("d", 4, "raise", episode=2)).json()["data"]["platform_no"],
        push(platform, event("e", 1, "raise", alarm="13")).json()["data"]["platform_no"],
    ]
    assert len({*numbers[:3]}) == 1
    assert len(set(numbers)) == 3
    assert violations(platform) == []
    stats = platform.get("/stats").json()
    assert (stats["events"], stats["open_events"], stats["requests"]) == (3, 2, 5)


def test_another_body_under_the_same_push_id_is_refused_and_noted(platform: httpx.Client) -> None:
    push(platform, event("a"))
    assert push(platform, event("a", level=3)).status_code == 409
    assert violations(platform) == ["push_id_reused"]
    assert outcomes(platform) == ["accepted"]


@pytest.mark.parametrize(
    ("notices", "found"),
    [
        ([(2, "clear", 1)], ["never_raised"]),
        ([(1, "raise", 1), (2, "raise", 1)], ["raised_twice"]),
        ([(2, "raise", 1), (1, "change", 1)], ["out_of_order"]),
        ([(1, "raise", 1), (2, "clear", 1), (3, "change", 1)], ["after_clear"]),
        ([(1, "raise", 1), (2, "raise", 2)], ["raised_while_open"]),
        ([(1, "raise", 1), (2, "clear", 1), (3, "raise", 2), (4, "clear", 2)], []),
        ([(1, "raise", 1), (2, "clear", 1), (3, "correct", 1)], []),
        ([(3, "correct", 1)], ["never_raised"]),
        ([(1, "raise", 1), (2, "clear", 1), (5, "raise", 2), (4, "clear", 1)], ["out_of_order", "never_raised"]),
    ],
)
def test_the_order_of_an_alarms_notices_is_watched(
    platform: httpx.Client, notices: list[tuple[int, str, int]], found: list[str]
) -> None:
    for number, (transition_no, notice, episode) in enumerate(notices):
        assert push(platform, event(f"p{number}", transition_no, notice, episode)).status_code == 200
    assert violations(platform) == found


def test_an_episode_that_was_over_when_it_was_raised_may_come_beside_one_that_is_open(platform: httpx.Client) -> None:
    over = {"cleared_at": "2026-07-21 21:30:00"}
    for number, body in enumerate(
        (
            event("p1", 1),
            event("p2", 2, "raise", 2, **over),
            event("p3", 3, "clear", 2, **over),
            event("p4", 4, "correct", 1),
            event("p5", 5, "clear", 1),
            event("p6", 6, "raise", 3),
        )
    ):
        assert push(platform, body).status_code == 200, number
    assert violations(platform) == []
    assert platform.get("/stats").json()["open_events"] == 1


@pytest.mark.parametrize(
    "body",
    [
        event("a") | {"level": 5},
        event("a") | {"time": "2026-07-21T21:38:05Z"},
        event("a") | {"alarm": 12},
        {name: value for name, value in event("a").items() if name != "transition_no"},
    ],
)
def test_an_event_that_says_too_little_is_refused(platform: httpx.Client, body: dict[str, Any]) -> None:
    answered = push(platform, body)
    assert answered.status_code == answered.json()["code"] == 400
    assert violations(platform) == ["malformed"]


def test_push_ids_must_agree_and_bodies_be_objects(platform: httpx.Client) -> None:
    assert platform.post("/events", json=event("a"), headers={"X-Push-Id": "b"}).status_code == 400
    assert platform.post("/events", content=b"[1]").status_code == 400
    assert platform.post("/events", content=b"{").status_code == 400
    assert violations(platform) == ["push_id_differs", "malformed", "malformed"]


def test_refuse_for_a_count_with_retry_after(platform: httpx.Client) -> None:
    platform.post("/behaviour", json={"kind": "refuse", "status": 429, "retry_after_s": 7, "count": 2})
    first = push(platform, event("a"))
    assert (first.status_code, first.headers["Retry-After"], first.json()["code"]) == (429, "7", 429)
    assert [push(platform, event("a")).status_code for _ in range(2)] == [429, 200]
    assert outcomes(platform) == ["refuse", "refuse", "accepted"]
    assert violations(platform) == []


def test_an_error_code_comes_with_http_200_and_takes_nothing(platform: httpx.Client) -> None:
    platform.post("/behaviour", json={"kind": "error_code", "code": 5001, "count": 1})
    answered = push(platform, event("a"))
    assert (answered.status_code, answered.json()["code"]) == (200, 5001)
    assert push(platform, event("a")).json()["message"] == "success"


def test_an_expired_token_is_refused_until_it_is_renewed() -> None:
    with running(PlatformSettings(access=Access(token="secret"))) as platform:
        assert push(platform, event("a")).status_code == 401
        assert push(platform, event("a"), Authorization="Bearer secret").status_code == 200
        platform.post("/behaviour", json={"kind": "expire_token"})
        assert push(platform, event("b", 2, "clear"), Authorization="Bearer secret").status_code == 401
        platform.post("/token")
        assert push(platform, event("b", 2, "clear"), Authorization="Bearer secret").status_code == 200
        assert outcomes(platform) == ["not_let_in", "accepted", "expire_token", "accepted"]


def test_gateway_signatures_are_checked() -> None:
    def signed(nonce: str, at: float, token: str) -> dict[str, str]:
        stamp = str(int(at))
        digest = hashlib.sha256(f"{stamp}{token}{nonce}{stamp}".encode()).hexdigest().upper()
        return {"x-tif-paasid": "me", "x-tif-timestamp": stamp, "x-tif-nonce": nonce, "x-tif-signature": digest}

    now = time.time()
    with running(PlatformSettings(access=Access(gateway_token="secret"))) as platform:
        assert push(platform, event("a"), **signed("n1", now, "secret")).status_code == 200
        assert push(platform, event("a"), **signed("n1", now, "secret")).status_code == 401  # the nonce again
        assert push(platform, event("a"), **signed("n2", now - 181, "secret")).status_code == 401
        assert push(platform, event("a"), **signed("n3", now, "wrong")).status_code == 401
        assert push(platform, event("a")).status_code == 401
        assert push(platform, event("a"), **signed("n4", now - 170, "secret")).json()["message"] == "duplicate"


def test_behaviours_last_for_a_count_a_time_a_share_or_until_removed(platform: httpx.Client) -> None:
    platform.post("/behaviour", json={"kind": "refuse", "seconds": 0.05})
    assert push(platform, event("a")).status_code == 503
    time.sleep(0.06)
    assert push(platform, event("a")).status_code == 200
    platform.post("/behaviour", json={"kind": "refuse", "share": 0.5})
    answers = [push(platform, event("a")).status_code for _ in range(100)]
    assert 30 < answers.count(503) < 70
    assert platform.get("/behaviour").json()[0]["hits"] == answers.count(503)
    platform.delete("/behaviour")
    assert push(platform, event("a")).status_code == 200


def test_a_behaviour_may_be_for_one_alarm_only(platform: httpx.Client) -> None:
    platform.post("/behaviour", json={"kind": "refuse", "match": {"alarm": "13"}})
    assert push(platform, event("a")).status_code == 200
    assert push(platform, event("b", alarm="13")).status_code == 503


def test_delay_waits_and_then_answers(platform: httpx.Client) -> None:
    platform.post("/behaviour", json={"kind": "delay", "delay_s": 0.2, "count": 1})
    began = time.monotonic()
    assert push(platform, event("a")).status_code == 200
    assert time.monotonic() - began >= 0.2


def test_an_unknown_behaviour_is_refused(platform: httpx.Client) -> None:
    assert platform.post("/behaviour", json={"kind": "explode"}).status_code == 422
    assert platform.post("/behaviour", json={"kind": "refuse", "cuont": 1}).status_code == 422


def test_a_platform_started_again_on_its_file_still_knows_its_events(tmp_path: Path) -> None:
    settings = PlatformSettings(record=tmp_path / "records.jsonl")
    with running(settings) as platform:
        first = push(platform, event("a")).json()
        push(platform, event("b", 2, "clear"))
    with running(settings) as platform:
        assert push(platform, event("a")).json()["data"] == first["data"]
        assert push(platform, event("a", level=1)).status_code == 409
        assert push(platform, event("c", 3, "raise", 2)).status_code == 200
        assert violations(platform) == ["push_id_reused"]
        assert platform.get("/stats").json()["events"] == 2


def test_records_can_be_followed(platform: httpx.Client) -> None:
    before = time.time() * 1000
    for number in range(5):
        push(platform, event(f"p{number}", alarm=str(number)))
    first = platform.get("/records", params={"limit": 2}).json()
    rest = platform.get("/records", params={"after": first[-1]["no"]}).json()
    assert [record["no"] for record in first + rest] == [1, 2, 3, 4, 5]
    assert all(before <= record["received_ms"] <= time.time() * 1000 for record in first + rest)
    assert rest[0]["body"]["alarm"] == "2"


def say(client: httpx.Client, body: object, key: str = "k") -> int:
    answered = client.post("/cgi-bin/webhook/send", params={"key": key} if key else {}, json=body)
    assert answered.status_code == 200
    code: int = answered.json()["errcode"]
    return code


def test_the_robot_answers_200_and_tells_by_errcode(platform: httpx.Client) -> None:
    text = {"msgtype": "text", "text": {"content": "【红】井盖打开"}}
    assert say(platform, text) == 0
    assert say(platform, {"msgtype": "markdown", "markdown": {"content": "**红**"}}) == 0
    assert say(platform, text, key="") == 93000
    assert say(platform, {"msgtype": "text", "text": {}}) == 40008
    assert say(platform, ["text"]) == 40008
    assert say(platform, {"msgtype": "text", "text": {"content": "红" * 683}}) == 40058
    accepted = platform.get("/records", params={"kind": "robot", "outcome": "accepted"}).json()
    assert [(record["key"], record["content"]) for record in accepted] == [("k", "【红】井盖打开"), ("k", "**红**")]


def test_each_robot_takes_twenty_messages_a_minute(platform: httpx.Client) -> None:
    text = {"msgtype": "text", "text": {"content": "红"}}
    assert [say(platform, text) for _ in range(21)] == [0] * 20 + [45009]
    assert say(platform, text, key="another") == 0


def test_the_robot_misbehaves_on_its_own(platform: httpx.Client) -> None:
    platform.post("/behaviour", json={"kind": "error_code", "target": "robot", "code": 45033, "count": 1})
    assert push(platform, event("a")).status_code == 200
    text = {"msgtype": "text", "text": {"content": "红"}}
    assert [say(platform, text), say(platform, text)] == [45033, 0]


def test_a_lost_answer_was_taken_and_its_repeat_is_known(platform: httpx.Client) -> None:
    platform.post("/behaviour", json={"kind": "lose_answer", "delay_s": 0, "count": 1})
    with pytest.raises(httpx.RemoteProtocolError):
        push(platform, event("a"))
    assert push(platform, event("a")).json()["message"] == "duplicate"
    assert outcomes(platform) == ["accepted", "repeat"]
    assert violations(platform) == []


def test_a_time_out_takes_nothing(platform: httpx.Client) -> None:
    platform.post("/behaviour", json={"kind": "time_out", "delay_s": 60, "count": 1})
    with pytest.raises(httpx.ReadTimeout):
        platform.post("/events", json=event("a"), headers={"X-Push-Id": "a"}, timeout=0.2)
    assert push(platform, event("a")).json()["message"] == "success"
    assert outcomes(platform) == ["time_out", "accepted"]


def test_many_may_be_kept_waiting_at_once(platform: httpx.Client) -> None:
    platform.post("/behaviour", json={"kind": "delay", "delay_s": 0.5, "count": 100})
    began = time.monotonic()
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda n: push(platform, event(f"p{n}", alarm=str(n))).status_code, range(100)))
    assert answers == [200] * 100
    assert time.monotonic() - began < 5


def test_the_same_event_from_many_senders_is_taken_once(platform: httpx.Client) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: push(platform, event("a")).json(), range(64)))
    assert len({answer["data"]["platform_no"] for answer in answers}) == 1
    assert outcomes(platform).count("accepted") == 1


def test_it_takes_a_thousand_events_a_second() -> None:
    """By the processor time it needs for each: how busy the machine is otherwise does not matter."""
    requests = [http_request(event(f"p{number}", alarm=str(number))) for number in range(2_000)]
    cpu_s: list[float] = []
    with running(PlatformSettings(), cpu_s) as platform:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda first: exchange(platform.base_url, requests[first::4]), range(4)))
        assert platform.get("/stats").json()["outcomes"] == {"event.accepted": 2_000}
    assert cpu_s[0] / 2_000 < 0.001


def http_request(body: dict[str, Any]) -> bytes:
    content = orjson.dumps(body)
    head = f"POST /events HTTP/1.1\r\nHost: x\r\nX-Push-Id: {body['push_id']}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def exchange(url: httpx.URL, requests: list[bytes]) -> None:
    """One request after the other on one connection, at next to no cost."""
    with socket.create_connection((url.host, url.port)) as connection, connection.makefile("rb") as answers:
        for request in requests:
            connection.sendall(request)
            length = 0
            while (line := answers.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answers.read(length)


def test_it_ends_also_if_told_to_before_it_listens_to_that() -> None:
    code = (
        "import os, signal\n"
        "from simulators.platform.app import PlatformSettings\n"
        "from simulators.platform.serve import serve\n"
        "serve(PlatformSettings(), '127.0.0.1', 0, lambda url: os.kill(os.getpid(), signal.SIGTERM))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], timeout=30, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")

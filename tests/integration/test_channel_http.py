"""Channels against real HTTP receivers: what is sent, and that no receiver holds a worker longer than its time-out."""

from __future__ import annotations

import hashlib
import hmac
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.channels import channel, kept, parse_config
from alerts.channels.interface import BadMessage, Delivered, Delivery, Outcome, Retry, SinkFailure
from alerts.channels.line import LONGEST_ANSWER, Line
from alerts.messages.notice import message
from tests.integration.owing import snapshot
from tests.integration.receivers import OK, Receiver, Reply, certificate_for_localhost, refusing

LINK = "https://underfoot.example/api/v1/alarms/1"


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line(0.5)
    yield line
    line.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_for_localhost(tmp_path_factory.mktemp("tls"))


def send(line: Line, name: str, url: str, facts: dict[str, Any] | None = None, **config: Any) -> Outcome:
    given: Any = facts or snapshot()
    return channel(name).send(Delivery("k" * 64, given, LINK), parse_config(name, {"url": url, **config}), line)


def test_the_platform_gets_the_event_as_its_template_has_it(line: Line) -> None:
    facts = snapshot(
        event_at="2026-07-01T13:38:00+00:00", raised_at="2026-07-01T13:38:00+00:00", episode=3, alarm_key=12
    )
    facts["case"] |= {"arrive_by": "2026-07-01T14:08:05+00:00", "repair_by": "2026-07-01T19:38:05+00:00"}
    with Receiver() as receiver:
        outcome = send(line, "platform", receiver.url, facts, headers={"Authorization": "Bearer t"})
    answer = {"code": 0, "message": "ok", "data": {"platform_no": "A1"}}
    assert outcome == Delivered({"status": 200, "answer": answer, "platform_no": "A1"})
    request = receiver.requests[0]
    assert request.headers["authorization"] == "Bearer t"
    assert request.headers["x-push-id"] == "k" * 64
    assert request.headers["content-type"].startswith("application/json")
    body = request.body
    description = body.pop("description")
    assert description.startswith("井盖打开：人民大道文峰路口东北角 雨水井0312，倾角78°（限值30°），")
    assert body == {
        "event_type": "井盖打开",
        "location": "人民大道文峰路口东北角 雨水井0312",
        "lat": 36.101234,
        "lon": 114.352345,
        "level": 4,
        "level_label": "红",
        "value": 78.2,
        "standard": 30.0,
        "time": "2026-07-01 21:38:00",
        "trigger_count": 3,
        "event_ids": ["12-3"],
        "push_id": "k" * 64,
        "notice": "raise",
        "alarm": "12",
        "episode": 3,
        "transition_no": 1,
        "case_type": "component",
        "case_code": "0103",
        "case_scheme": "GB/T 30428.2-2013",
        "case_name": "雨水井盖",
        "condition": "井盖缺失、移位、打开",
        "case_level": 2,
        "event_id": "12-3",
        "case_state": "reported",
        "arrive_by": "2026-07-01 22:08:05",
        "repair_by": "2026-07-02 03:38:05",
        "asset_code": "4105020103000312",
        "device_id": "cover-0312",
        "raised_at": "2026-07-01 21:38:00",
        "cleared_at": None,
    }


def test_a_citys_own_names_and_signature(line: Line) -> None:
    signer = {"kind": "tif", "paasid": "city", "token": "secret"}
    with Receiver() as receiver:
        send(
            line, "platform", receiver.url, signer=signer,
            template={"eventType": "{title}", "source": "underfoot", "back": "{callback_url}"}, upsert_key=None,
            callback_url="https://underfoot.example/callbacks",
        )  # fmt: skip
    body, headers = receiver.requests[0].body, receiver.requests[0].headers
    assert body == {
        "eventType": "井盖打开",
        "source": "underfoot",
        "back": "https://underfoot.example/callbacks",
    }
    plain = f"{headers['x-tif-timestamp']}secret{headers['x-tif-nonce']}{headers['x-tif-timestamp']}"
    assert headers["x-tif-signature"] == hashlib.sha256(plain.encode()).hexdigest().upper()


@pytest.mark.parametrize("name", ["wecom", "dingtalk"])
def test_robots_are_sent_the_message_as_text(name: str, line: Line) -> None:
    facts: Any = snapshot()
    with Receiver(lambda request: Reply(body={"errcode": 0, "errmsg": "ok"})) as receiver:
        assert isinstance(send(line, name, f"{receiver.url}?key=robot", facts), Delivered)
    assert receiver.requests[0].path == "/events?key=robot"
    assert receiver.requests[0].body == {"msgtype": "text", "text": {"content": str(message(facts, LINK))}}


def test_a_robot_with_a_secret_is_sent_a_signed_request(line: Line) -> None:
    with Receiver(lambda request: Reply(body={"errcode": 0, "code": 0})) as receiver:
        send(line, "dingtalk", f"{receiver.url}?access_token=t", secret="SEC1")
        send(line, "feishu", receiver.url, secret="SEC1")
    ding, fei = receiver.requests
    assert "access_token=t&timestamp=" in ding.path
    assert "&sign=" in ding.path
    assert fei.body["msg_type"] == "text"
    assert fei.body["content"]["text"].startswith("【红】井盖打开｜")
    assert abs(int(fei.body["timestamp"]) - time.time()) < 5
    assert fei.body["sign"]


def test_a_webhook_gets_the_whole_snapshot_signed(line: Line) -> None:
    facts: Any = snapshot()
    with Receiver(lambda request: Reply(status=204)) as receiver:
        outcome = send(line, "webhook", receiver.url, facts, secret="s", headers={"X-Team": "a"})
    assert outcome == Delivered({"status": 204})
    request = receiver.requests[0]
    assert request.headers["x-team"] == "a"
    assert request.headers["x-underfoot-signature"] == f"sha256={hmac.new(b's', request.raw, 'sha256').hexdigest()}"
    assert request.body["alarm"] == facts
    assert request.body["push_id"] == "k" * 64
    assert request.body["text"] + request.body["link"] == str(message(facts, LINK))


@pytest.mark.parametrize(
    ("status", "outcome"), [(401, SinkFailure), (413, BadMessage), (503, Retry), (302, SinkFailure)]
)
def test_statuses_over_the_wire(status: int, outcome: type[Outcome], line: Line) -> None:
    with Receiver(lambda request: Reply(status, headers={"Location": "/elsewhere"})) as receiver:
        assert type(send(line, "platform", receiver.url)) is outcome
    assert len(receiver.requests) == 1


def test_nobody_there_has_not_received_it(line: Line) -> None:
    with refusing() as url:
        outcome = send(line, "platform", url)
    assert isinstance(outcome, Retry)
    assert (outcome.against_sink, outcome.maybe_received) == (True, False)


def test_a_host_without_an_address(line: Line) -> None:
    outcome = send(line, "platform", "http://underfoot-nobody.invalid/events")
    assert isinstance(outcome, Retry)
    assert not outcome.maybe_received


def test_an_answer_that_never_comes_may_have_been_received(line: Line) -> None:
    with Receiver(lambda request: Reply(drop=True)) as receiver:
        outcome = send(line, "platform", receiver.url)
    assert isinstance(outcome, Retry)
    assert outcome.maybe_received


@pytest.mark.parametrize("body", [b"", b"{" + b" " * 400])
def test_a_receiver_that_drips_bytes_is_cut_off_in_time(body: bytes, line: Line) -> None:
    """Each byte comes well within any time-out between bytes: in the headers, and in the body."""
    with Receiver(lambda request: Reply(body=body, drip_s=0.02)) as receiver:
        begun = time.monotonic()
        outcome = send(line, "platform", receiver.url)
        took = time.monotonic() - begun
    assert isinstance(outcome, Retry)
    assert outcome.maybe_received
    assert 0.4 < took < 1.0


def test_a_slow_receiver_is_cut_off_in_time(line: Line) -> None:
    def slow(request: Any) -> Reply:
        time.sleep(1.5)
        return OK

    with Receiver(slow) as receiver:
        begun = time.monotonic()
        outcome = send(line, "platform", receiver.url)
        assert time.monotonic() - begun < 1.0
    assert isinstance(outcome, Retry)
    assert outcome.maybe_received


def test_an_endless_answer_is_read_to_a_bound(line: Line) -> None:
    huge = b'{"code": 0, "data": "' + b"x" * (4 * LONGEST_ANSWER) + b'"}'
    with Receiver(lambda request: Reply(body=huge)) as receiver:
        outcome = send(line, "platform", receiver.url)
        assert isinstance(outcome, Retry), "what was not read to its end is not known to be success"
        assert len(outcome.error) < 400
        receiver.behaviour = lambda request: OK
        assert isinstance(send(line, "platform", receiver.url), Delivered), "the line is of use afterwards"


def test_connections_are_kept_alive(line: Line) -> None:
    opened: list[Any] = []
    with Receiver() as receiver:
        accept = receiver._server.get_request
        receiver._server.get_request = lambda: opened.append(1) or accept()  # type: ignore[func-returns-value, method-assign]
        for _ in range(5):
            assert isinstance(send(line, "platform", receiver.url), Delivered)
    assert len(opened) == 1


def test_a_connection_that_the_receiver_has_closed_is_not_used_again(line: Line) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), _AnswersAndHangsUp) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/events"
        for _ in range(3):
            answering = threading.Thread(target=server.handle_request, daemon=True)
            answering.start()
            assert isinstance(send(line, "platform", url), Delivered)
            answering.join(5)


class _AnswersAndHangsUp(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"code": 0}')


def test_an_answer_after_which_the_connection_ends_is_read_whole(line: Line) -> None:
    with Receiver(lambda request: Reply(body=OK.body, headers={"Connection": "close"})) as receiver:
        for _ in range(2):
            assert isinstance(send(line, "platform", receiver.url), Delivered)


def test_half_an_answer_may_have_been_received(line: Line) -> None:
    with socketserver.TCPServer(("127.0.0.1", 0), _HalfAnAnswer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        outcome = send(line, "platform", f"http://127.0.0.1:{server.server_address[1]}/events")
    assert isinstance(outcome, Retry)
    assert outcome.maybe_received
    assert "90 bytes before its end" in outcome.error


class _HalfAnAnswer(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(65536)
        self.request.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"code": 0')


def test_a_receiver_whose_certificate_is_not_trusted_is_told_nothing(
    line: Line, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Receiver() as receiver:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        receiver._server.socket = context.wrap_socket(receiver._server.socket, server_side=True)
        url = receiver.url.replace("http://127.0.0.1", "https://localhost")
        outcome = send(line, "platform", url)
        assert isinstance(outcome, SinkFailure)
        assert "CERTIFICATE_VERIFY_FAILED" in outcome.error
        assert receiver.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        kept._trust.cache_clear()
        try:
            assert isinstance(send(line, "platform", url), Delivered)
        finally:
            kept._trust.cache_clear()

"""Mail against a real SMTP server."""

from __future__ import annotations

import email
import email.policy
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.channels import parse_config
from alerts.channels.interface import BadMessage, Delivered, Delivery, Outcome, Retry, SinkFailure
from alerts.channels.line import Line
from alerts.channels.mail import MailConfig, send
from alerts.messages.notice import message
from tests.integration.owing import snapshot
from tests.integration.receivers import MailServer, certificate_for_localhost

LINK = "https://underfoot.example/api/v1/alarms/1"


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line(0.6)
    yield line
    line.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate_for_localhost(tmp_path_factory.mktemp("tls"))


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def post(line: Line, server: MailServer, facts: dict[str, Any] | None = None, /, **config: Any) -> Outcome:
    settings = {
        "host": "127.0.0.1",
        "port": server.port,
        "security": "none",
        "sender": "underfoot@city.example",
        "recipients": ["banzu@city.example", "zhiban@city.example"],
    }
    parsed = parse_config("mail", settings | config)
    assert isinstance(parsed, MailConfig)
    given: Any = facts or snapshot()
    return send(Delivery("k" * 64, given, LINK), parsed, line)


def test_a_mail_is_the_message_and_its_id_comes_from_the_key(line: Line) -> None:
    facts: Any = snapshot()
    with MailServer() as server:
        first, second = (post(line, server, facts) for _ in range(2))
    assert first == second == Delivered({"message_id": f"<{'k' * 64}@city.example>"})
    mail = server.mails[0]
    assert (mail.sender, mail.recipients) == ("underfoot@city.example", ["banzu@city.example", "zhiban@city.example"])
    parsed: Any = email.message_from_bytes(mail.data, policy=email.policy.default)
    said = message(facts, LINK)
    assert parsed["Subject"] == said.text
    assert parsed["Message-ID"] == f"<{'k' * 64}@city.example>"
    assert parsed["X-Push-Id"] == "k" * 64
    assert parsed.get_content().split() == [*said.text.split(), LINK]


def test_starttls_with_a_certificate_that_is_trusted(line: Line, certificate: Path) -> None:
    with MailServer(tls=tls(certificate)) as server:
        outcome = post(
            line, server, host="localhost", security="starttls", ca_file=str(certificate), username="u", password="p"
        )
    assert isinstance(outcome, Delivered)
    assert server.encrypted == [True]


def test_a_certificate_that_is_not_trusted_is_the_sinks_failure(line: Line, certificate: Path) -> None:
    with MailServer(tls=tls(certificate)) as server:
        outcome = post(line, server, host="localhost", security="starttls")
    assert isinstance(outcome, SinkFailure)
    assert not server.mails


def test_a_server_without_starttls_is_not_sent_in_the_clear(line: Line) -> None:
    with MailServer(offers=("8BITMIME",)) as server:
        outcome = post(line, server, security="starttls")
    assert isinstance(outcome, SinkFailure)
    assert not server.mails


@pytest.mark.parametrize(
    ("behaviour", "outcome", "maybe"),
    [
        ({"data_end": "451 try later"}, Retry, False),
        ({"data_end": "554 no such content here"}, BadMessage, None),
        ({"data_end": "552 too big"}, BadMessage, None),
        ({"rcpt": lambda to: "550 unknown"}, SinkFailure, None),
        ({"rcpt": lambda to: "450 greylisted"}, Retry, False),
        ({"greeting": "421 busy"}, Retry, False),
        ({"greeting": "554 go away"}, SinkFailure, None),
        ({"data_end": None}, Retry, True),
        ({"auth": "535 wrong password"}, SinkFailure, None),
        ({"auth": "454 later"}, Retry, False),
    ],
)
def test_what_the_server_says_decides(
    behaviour: dict[str, Any], outcome: type[Outcome], maybe: bool | None, line: Line
) -> None:
    config = {"username": "u", "password": "p"} if "auth" in behaviour else {}
    with MailServer(**behaviour) as server:
        said = post(line, server, **config)
    assert type(said) is outcome
    if isinstance(said, Retry):
        assert said.maybe_received is maybe


def test_one_recipient_refused_is_on_the_receipt(line: Line) -> None:
    with MailServer(rcpt=lambda to: "250 ok" if to.startswith("banzu") else "550 unknown") as server:
        said = post(line, server)
    assert isinstance(said, Delivered)
    assert said.receipt["refused"] == {"zhiban@city.example": "550 unknown"}
    assert server.mails[0].recipients == ["banzu@city.example"]


def test_nobody_there(line: Line) -> None:
    with MailServer() as server:
        pass
    said = post(line, server)
    assert isinstance(said, Retry)
    assert not said.maybe_received


def test_a_server_that_drips_bytes_is_cut_off_in_time(line: Line) -> None:
    with MailServer(greeting="220 " + "x" * 200, drip_s=0.02) as server:
        begun = time.monotonic()
        said = post(line, server)
        took = time.monotonic() - begun
    assert isinstance(said, Retry)
    assert 0.4 < took < 1.2

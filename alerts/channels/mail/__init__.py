"""邮件. The Message-ID is made from the idempotency key, so that a mail program shows a repeat once."""

from __future__ import annotations

import logging
import smtplib
import socket
import ssl
import threading
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, model_validator

from alerts.channels.interface import (
    BadMessage,
    Channel,
    ChannelConfig,
    Delivered,
    Delivery,
    Outcome,
    Retry,
    SinkFailure,
)
from alerts.channels.line import Line
from alerts.messages.notice import message

log = logging.getLogger(__name__)

Address = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$", max_length=254)
]


class MailConfig(ChannelConfig):
    host: str = Field(min_length=1, description="The mail server")
    port: int = Field(587, ge=1, le=65535, description="587 for starttls, 465 for tls")
    security: Literal["starttls", "tls", "none"] = Field("starttls", description="none only inside a network you trust")
    ca_file: Path | None = Field(None, description="Certificates to trust instead of the system's (PEM)")
    username: str | None = Field(None, description="Where the server wants one")
    password: SecretStr | None = Field(None, description="… and its password")
    sender: Address = Field(description="From")
    recipients: tuple[Address, ...] = Field(min_length=1, max_length=50, description="To, a list")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"ca_file: there is no file {self.ca_file}")
        return self

    def place(self) -> str:
        return f"{', '.join(self.recipients)} ({self.host}:{self.port})"


def send(delivery: Delivery, config: MailConfig, line: Line) -> Outcome:
    mail = letter(delivery, config)
    with _Session(config, line.timeout_s) as session:
        try:
            refused = session.send(mail)
        except (smtplib.SMTPException, OSError) as error:
            return _judge(error, session)
    return Delivered({"message_id": mail["Message-ID"], **({"refused": refused} if refused else {})})


def letter(delivery: Delivery, config: MailConfig) -> EmailMessage:
    said = message(delivery.snapshot, delivery.link, delivery.beside)
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["Subject"] = said.text
    mail["From"] = config.sender
    mail["To"] = ", ".join(config.recipients)
    mail["Date"] = formatdate(localtime=False)
    mail["Message-ID"] = f"<{delivery.idempotency_key}@{config.sender.rpartition('@')[2]}>"
    mail["X-Push-Id"] = delivery.idempotency_key
    mail.set_content(f"{said.text}\n{said.link}\n")
    return mail


class _Session:
    """One conversation with the mail server, cut off in time: smtplib's own time-out is from one byte to the next."""

    def __init__(self, config: MailConfig, timeout_s: float) -> None:
        self._config = config
        self._timeout_s = timeout_s
        self._client: smtplib.SMTP | None = None
        self._watch = threading.Timer(timeout_s, self._cut)
        self._watch.daemon = True
        self.timed_out = False
        self.data_begun = False

    def __enter__(self) -> Self:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.cancel()
        if self._client is not None:
            self._client.close()

    def _cut(self) -> None:
        self.timed_out = True
        sock = self._client.sock if self._client is not None else None
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is gone already, which is what was wanted

    def send(self, mail: EmailMessage) -> dict[str, str]:
        """Send, and return the recipients the server refused while taking the mail for others."""
        client = self._connect()
        if self._config.username is not None and self._config.password is not None:
            client.login(self._config.username, self._config.password.get_secret_value())
        refused = client.send_message(mail, self._config.sender, list(self._config.recipients))
        try:
            client.quit()
        except (smtplib.SMTPException, OSError) as error:
            log.debug("%s:%d has the mail and did not say good-bye: %s", self._config.host, self._config.port, error)
        return {to: f"{code} {_text(answer)}" for to, (code, answer) in refused.items()}

    def _connect(self) -> smtplib.SMTP:
        config = self._config
        context = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
        if config.security == "tls":
            return _TlsClient(self, config.host, config.port, timeout=self._timeout_s, context=context)
        client = _Client(self, config.host, config.port, timeout=self._timeout_s)
        if config.security == "starttls":
            client.starttls(context=context)
        return client

    def began(self, client: smtplib.SMTP) -> None:
        self._client = client


class _Client(smtplib.SMTP):
    """Tells its session of itself before it connects, and when the mail itself is under way."""

    def __init__(self, session: _Session, host: str, port: int, **options: Any) -> None:
        self._session = session
        session.began(self)
        super().__init__(host, port, **options)

    def data(self, msg: Any) -> tuple[int, bytes]:
        self._session.data_begun = True
        return super().data(msg)


class _TlsClient(_Client, smtplib.SMTP_SSL):
    """The same, encrypted from the first byte."""


def _judge(error: smtplib.SMTPException | OSError, session: _Session) -> Outcome:
    if isinstance(error, ssl.SSLCertVerificationError):
        return SinkFailure(f"the mail server's certificate: {error.verify_message}")
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        answers = error.recipients
        said = "; ".join(f"{to}: {code} {_text(answer)}" for to, (code, answer) in answers.items())
        return (
            SinkFailure(said) if all(code >= 500 for code, _ in answers.values()) else Retry(said, against_sink=False)
        )
    if isinstance(error, smtplib.SMTPResponseException):
        said = f"{error.smtp_code} {_text(error.smtp_error)}"
        if error.smtp_code < 500:
            return Retry(said)
        if isinstance(error, smtplib.SMTPDataError) or error.smtp_code == 552:
            return BadMessage(said)
        return SinkFailure(said)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return SinkFailure(f"the mail server does not offer what the sink asks for: {error}")
    if session.timed_out or isinstance(error, TimeoutError):
        return Retry("no answer: the mail server took too long", maybe_received=session.data_begun)
    return Retry(f"the mail server hung up or is not there: {error}", maybe_received=session.data_begun)


def _text(answer: bytes | str) -> str:
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer


CHANNEL = Channel("邮件", MailConfig, send, gathers=True)

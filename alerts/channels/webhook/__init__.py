"""通用 Webhook: the whole snapshot as JSON, signed where there is a secret."""

from __future__ import annotations

import hashlib
import hmac

import orjson
from pydantic import Field, SecretStr

from alerts.channels.answers import Codes, SecretHeaders, SecretUrl, exchange, host
from alerts.channels.interface import Channel, ChannelConfig, Delivery, Outcome
from alerts.channels.line import Line
from alerts.messages.notice import message

CODES = Codes(fields=("errcode", "code", "StatusCode"), success=frozenset({0, *range(200, 300)}), required=False)
"""A receiver may answer with nothing but a status; one that names a code is taken at its word."""


class WebhookConfig(ChannelConfig):
    url: SecretUrl = Field(description="Where to POST")
    headers: SecretHeaders = Field(default_factory=dict, description="Fixed headers, e.g. Authorization")
    secret: SecretStr | None = Field(
        None, min_length=1, description="Sign: X-Underfoot-Signature = sha256=hex(HMAC-SHA256(secret, body))"
    )

    def place(self) -> str:
        return host(self.url)


def signature(secret: str, body: bytes) -> str:
    return f"sha256={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}"


def send(delivery: Delivery, config: WebhookConfig, line: Line) -> Outcome:
    said = message(delivery.snapshot, delivery.link)
    body = orjson.dumps(
        {"push_id": delivery.idempotency_key, "text": said.text, "link": said.link, "alarm": delivery.snapshot}
    )
    headers = {name: value.get_secret_value() for name, value in config.headers.items()}
    headers["X-Push-Id"] = delivery.idempotency_key
    if config.secret is not None:
        headers["X-Underfoot-Signature"] = signature(config.secret.get_secret_value(), body)
    return exchange(lambda: line.post(config.url.get_secret_value(), body, headers), CODES)


CHANNEL = Channel("通用 Webhook", WebhookConfig, send)

"""飞书群机器人, signed where it has a secret. `code` in the body tells, or in older answers `StatusCode`."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from html import escape
from typing import Any

import orjson
from pydantic import Field, SecretStr

from alerts.channels.answers import Codes, SecretUrl, exchange, host
from alerts.channels.interface import Channel, ChannelConfig, Delivery, Outcome
from alerts.channels.line import Line
from alerts.messages.notice import message

CODES = Codes(
    fields=("code", "StatusCode"),
    success=frozenset({0}),
    busy=frozenset({11232, 99991400}),
    # The token is wrong; signature, address or keyword not accepted.
    sink_failure=frozenset({19001, 19021, 19022, 19024}),
    bad_message=frozenset({9499, 19002}),
)


class FeishuConfig(ChannelConfig):
    url: SecretUrl = Field(description="The robot's webhook address, with its key")
    secret: SecretStr | None = Field(None, min_length=1, description="签名校验 secret, where the robot was given one")
    per_minute: int | None = Field(100, ge=1, description="A robot takes 100 messages a minute")
    per_second: int | None = Field(5, ge=1, description="… and 5 a second")
    mention: bool = Field(True, description="Whether whoever is on duty is @-ed, by the open_id in the roster")

    def robot(self) -> str:
        return self.url.get_secret_value()

    def place(self) -> str:
        return host(self.url)


def signature(secret: str, now_s: int) -> dict[str, str]:
    """`timestamp` and `sign` = base64(HMAC-SHA256 of nothing, under the key timestamp + newline + secret)."""
    digest = hmac.new(f"{now_s}\n{secret}".encode(), b"", hashlib.sha256).digest()
    return {"timestamp": str(now_s), "sign": base64.b64encode(digest).decode()}


def send(delivery: Delivery, config: FeishuConfig, line: Line) -> Outcome:
    text = str(message(delivery.snapshot, delivery.link, delivery.beside))
    if config.mention:
        text += "".join(
            f' <at user_id="{one.feishu}">{escape(one.name)}</at>' for one in delivery.mentions if one.feishu
        )
    body: dict[str, Any] = {"msg_type": "text", "content": {"text": text}}
    if config.secret is not None:
        body |= signature(config.secret.get_secret_value(), int(time.time()))
    return exchange(lambda: line.post(config.url.get_secret_value(), orjson.dumps(body)), CODES)


CHANNEL = Channel("飞书群机器人", FeishuConfig, send, gathers=True, mentions=True)

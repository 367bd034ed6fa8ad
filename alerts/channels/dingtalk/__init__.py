"""钉钉群机器人, signed where it has a secret. Answers HTTP 200 whatever happens; `errcode` in the body tells."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlencode

import orjson
from pydantic import Field, SecretStr

from alerts.channels.answers import Codes, SecretUrl, exchange, host
from alerts.channels.interface import Channel, ChannelConfig, Delivery, Outcome
from alerts.channels.line import Line
from alerts.messages.notice import message

CODES = Codes(
    fields=("errcode",),
    success=frozenset({0}),
    busy=frozenset({90018, 130101, 410100}),
    # The token is wrong; the robot is stopped or its group gone; signature, keyword or address not accepted.
    sink_failure=frozenset({300001, 300005, 310000, 40014, 42001, 400013, 400101, 400102, 400106}),
    bad_message=frozenset({40035, 43004, 400105, 430101, 430102, 430103, 430104}),
)


class DingtalkConfig(ChannelConfig):
    url: SecretUrl = Field(description="The robot's webhook address, with its access_token")
    secret: SecretStr | None = Field(
        None, min_length=1, description="加签 secret (SEC…), where the robot was given one"
    )
    per_minute: int | None = Field(20, ge=1, description="A robot takes 20 messages a minute, then is silenced for ten")

    mention: bool = Field(True, description="Whether whoever is on duty is @-ed, by phone number")

    def robot(self) -> str:
        return self.url.get_secret_value()

    def place(self) -> str:
        return host(self.url)


def signed(url: str, secret: str, now_ms: int) -> str:
    """`url` with `timestamp` and `sign` = base64(HMAC-SHA256(secret, timestamp + newline + secret))."""
    digest = hmac.new(secret.encode(), f"{now_ms}\n{secret}".encode(), hashlib.sha256).digest()
    sign = urlencode({"timestamp": now_ms, "sign": base64.b64encode(digest).decode()})
    return f"{url}{'&' if '?' in url else '?'}{sign}"


def send(delivery: Delivery, config: DingtalkConfig, line: Line) -> Outcome:
    url = config.url.get_secret_value()
    if config.secret is not None:
        url = signed(url, config.secret.get_secret_value(), time.time_ns() // 1_000_000)
    content = str(message(delivery.snapshot, delivery.link, delivery.beside))
    body: dict[str, Any] = {"msgtype": "text", "text": {"content": content}}
    mobiles = [one.phone.get_secret_value() for one in delivery.mentions if one.phone is not None]
    if config.mention and mobiles:
        body["at"] = {"atMobiles": mobiles, "isAtAll": False}
    return exchange(lambda: line.post(url, orjson.dumps(body)), CODES)


CHANNEL = Channel("钉钉群机器人", DingtalkConfig, send, gathers=True, mentions=True)

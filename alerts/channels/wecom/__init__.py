"""企业微信群机器人. Answers HTTP 200 whatever happens; `errcode` in the body tells."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import Field

from alerts.channels.answers import Codes, SecretUrl, exchange, host
from alerts.channels.interface import Channel, ChannelConfig, Delivery, Outcome
from alerts.channels.line import Line
from alerts.messages.notice import message

CODES = Codes(
    fields=("errcode",),
    success=frozenset({0}),
    busy=frozenset({45009, 45033}),
    # The key is wrong, expired or taken back; the robot is gone; our address is not allowed.
    sink_failure=frozenset({40014, 41001, 42001, 60020, 93000, 93004, 93008}),
    bad_message=frozenset({40008, 40058, 44004, 45002, 47001}),
)


class WecomConfig(ChannelConfig):
    url: SecretUrl = Field(description="The robot's webhook address, with its key")
    per_minute: int | None = Field(20, ge=1, description="A robot takes 20 messages a minute")

    mention: bool = Field(True, description="Whether whoever is on duty is @-ed, by phone number")

    def robot(self) -> str:
        return self.url.get_secret_value()

    def place(self) -> str:
        return host(self.url)


def send(delivery: Delivery, config: WecomConfig, line: Line) -> Outcome:
    text: dict[str, Any] = {"content": str(message(delivery.snapshot, delivery.link, delivery.beside))}
    mobiles = [one.phone.get_secret_value() for one in delivery.mentions if one.phone is not None]
    if config.mention and mobiles:
        text["mentioned_mobile_list"] = mobiles
    body = {"msgtype": "text", "text": text}
    return exchange(lambda: line.post(config.url.get_secret_value(), orjson.dumps(body)), CODES)


CHANNEL = Channel("企业微信群机器人", WecomConfig, send, gathers=True, mentions=True)

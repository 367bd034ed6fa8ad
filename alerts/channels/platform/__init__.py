"""一网统管平台: a JSON POST a notice. An event there is an (alarm, episode); `push_id` makes a repeat recognisable.

HTTP 200 is not success: the envelope `{"code", "message", "data"}` tells, with 0 or 200.
"""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import Field

from alerts.channels.answers import Codes, SecretHeaders, SecretUrl, exchange, host
from alerts.channels.interface import Channel, ChannelConfig, Delivery, Outcome
from alerts.channels.line import Line
from alerts.channels.platform.signers import NoSigner, Signer
from alerts.messages.notice import asset_place, city_time, description
from alerts.record.snapshot import Snapshot
from underfoot.alarms import Severity

_Codes = frozenset[int]


class PlatformConfig(ChannelConfig):
    url: SecretUrl = Field(description="Where the platform takes events")
    headers: SecretHeaders = Field(default_factory=dict, description="Fixed headers, e.g. Authorization")
    signer: Signer = Field(default_factory=NoSigner, description="How requests are signed: none, tif, rio")
    callback_url: str | None = Field(None, description="Where the platform reports what became of an event")
    rename: dict[str, str] = Field(
        default_factory=dict, description="Other names for fields, as this city's platform has them"
    )
    also: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Fixed fields that this city's platform wants"
    )
    success_codes: _Codes = Field(frozenset({0, 200}), description="Codes in the answer's body that mean: taken")
    busy_codes: _Codes = Field(frozenset({429}), description="… that mean: later")
    sink_failure_codes: _Codes = Field(
        frozenset({401, 403, 404}), description="… that mean: key, token or address is wrong"
    )
    bad_message_codes: _Codes = Field(
        frozenset({400, 413, 422}), description="… that mean: this message will never be taken"
    )

    def place(self) -> str:
        return host(self.url)

    def codes(self) -> Codes:
        return Codes(("code",), self.success_codes, self.busy_codes, self.sink_failure_codes, self.bad_message_codes)


def send(delivery: Delivery, config: PlatformConfig, line: Line) -> Outcome:
    headers = {name: value.get_secret_value() for name, value in config.headers.items()}
    headers |= config.signer.headers() | {"X-Push-Id": delivery.idempotency_key}
    body = orjson.dumps(event(delivery, config))
    return exchange(lambda: line.post(config.url.get_secret_value(), body, headers), config.codes())


def event(delivery: Delivery, config: PlatformConfig) -> dict[str, Any]:
    fields = _fields(delivery.snapshot, delivery.idempotency_key)
    if config.callback_url is not None:
        fields["callback_url"] = config.callback_url
    return {config.rename.get(name, name): value for name, value in fields.items()} | config.also


def _fields(snapshot: Snapshot, push_id: str) -> dict[str, Any]:
    asset, device, proof, case = snapshot["asset"], snapshot["device"], snapshot["proof"] or {}, snapshot["case"]
    return {
        "event_type": snapshot["title"],
        "location": asset_place(snapshot),
        "lat": asset["lat"] if asset else None,
        "lon": asset["lon"] if asset else None,
        "level": snapshot["severity"],
        "level_label": Severity(snapshot["severity"]).label,
        "value": proof.get("value"),
        "standard": proof.get("limit"),
        "description": description(snapshot),
        "time": city_time(snapshot["event_at"]),
        # How often this alarm has opened: the platform sees a cover that is opened again and again.
        "trigger_count": snapshot["episode"],
        "event_ids": [f"{snapshot['alarm_key']}-{snapshot['episode']}"],
        "push_id": push_id,
        "notice": snapshot["notice"],
        "alarm": str(snapshot["alarm_key"]),
        "episode": snapshot["episode"],
        "transition_no": snapshot["transition_no"],
        "case_type": case["type"] if case else None,
        "case_code": case["code"] if case else None,
        "case_scheme": asset["code_scheme"] if asset else None,
        "asset_code": asset["asset_code"] if asset else None,
        "device_id": device["device_id"] if device else None,
        "raised_at": city_time(snapshot["raised_at"]),
        "cleared_at": city_time(snapshot["cleared_at"]) if snapshot["cleared_at"] else None,
    }


CHANNEL = Channel("一网统管平台", PlatformConfig, send)

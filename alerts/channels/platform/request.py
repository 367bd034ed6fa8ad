"""One request to a city's platform: the template filled in, its envelope, the signature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from alerts.channels.interface import Delivery
from alerts.channels.platform.city import PlatformConfig
from alerts.channels.platform.fields import Facts
from alerts.channels.platform.signers.draft import Attempt, Draft, parameter

_FORM = "application/x-www-form-urlencoded; charset=utf-8"


@dataclass(frozen=True)
class Request:
    """`core` is the template filled in, `message` that with what stands around it, before it was signed; `signed` says
    what was."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes
    core: dict[str, Any]
    message: Any
    signed: tuple[str, ...]


def request(delivery: Delivery, config: PlatformConfig, attempt: Attempt | None = None) -> Request:
    facts = Facts(
        delivery.snapshot,
        delivery.idempotency_key,
        delivery.link,
        config.callback_url,
        config.coordinates.system,
        config.coordinates.decimals,
    )
    written = config.times.written
    core = config.message.filled(facts, written)
    message = config.enclosed_by.around(core, facts, written)
    headers = {name: value.get_secret_value() for name, value in config.headers.items()}
    if config.push_id_header is not None:
        headers[config.push_id_header] = delivery.idempotency_key
    if config.encoding == "form":
        headers["Content-Type"] = _FORM
    url = config.address(delivery.snapshot["notice"])
    draft = config.signer.sign(Draft(config.method, url, headers, message), attempt or Attempt())
    return Request(draft.method, draft.url, draft.headers, _body(draft, config), core, message, draft.signed)


def _body(draft: Draft, config: PlatformConfig) -> bytes:
    if config.encoding == "form":
        return urlencode({name: parameter(value) for name, value in draft.body.items()}).encode()
    return orjson.dumps(draft.body)

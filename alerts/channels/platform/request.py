"""One request to a city's platform: the template filled in, its envelope, the signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

import orjson

from alerts.channels.interface import Delivery
from alerts.channels.platform.city import PlatformConfig
from alerts.channels.platform.fields import Facts
from alerts.channels.platform.signers.draft import Attempt, Draft, parameter
from alerts.record.snapshot import Snapshot

if TYPE_CHECKING:
    from alerts.upward.indicators import Indicators

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


def request(
    delivery: Delivery,
    config: PlatformConfig,
    attempt: Attempt | None = None,
    *,
    step: Mapping[str, Any] | None = None,
) -> Request:
    """`step`: what is told is a step of the delivery's case, upward."""
    facts = Facts(
        delivery.snapshot,
        delivery.idempotency_key,
        delivery.link,
        config.callback_url,
        config.coordinates.system,
        config.coordinates.decimals,
        step=step,
    )
    written = config.times.written
    core = config.message.filled(facts, written)
    message = config.enclosed_by.around(core, facts, written)
    url = config.address(delivery.snapshot["notice"])
    return _signed(url, delivery.idempotency_key, core, message, config, attempt)


def indicator_request(
    push_id: str, found: Indicators, config: PlatformConfig, attempt: Attempt | None = None
) -> Request:
    """A day's indicators, upward. There is no event: a field of one has no value."""
    told = config.indicators
    if told is None or told.url is None:
        raise ValueError("indicators.url: is not set")
    facts = Facts(cast(Snapshot, {}), push_id, "", indicators=found)
    core = told.message.filled(facts, config.times.written)
    return _signed(told.url.get_secret_value(), push_id, core, core, config, attempt)


def _signed(
    url: str, push_id: str, core: dict[str, Any], message: Any, config: PlatformConfig, attempt: Attempt | None
) -> Request:
    headers = {name: value.get_secret_value() for name, value in config.headers.items()}
    if config.push_id_header is not None:
        headers[config.push_id_header] = push_id
    if config.encoding == "form":
        headers["Content-Type"] = _FORM
    draft = config.signer.sign(Draft(config.method, url, headers, message), attempt or Attempt())
    return Request(draft.method, draft.url, draft.headers, _body(draft, config), core, message, draft.signed)


def _body(draft: Draft, config: PlatformConfig) -> bytes:
    if config.encoding == "form":
        return urlencode({name: parameter(value) for name, value in draft.body.items()}).encode()
    return orjson.dumps(draft.body)

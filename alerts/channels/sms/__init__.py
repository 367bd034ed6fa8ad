"""短信: any HTTP gateway, by its configuration: a text, or the parameters of a template that the provider has approved.

HTTP 200 is not success: the code in the answer's body tells. Numbers are personal information: none stands in a receipt
or an error.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson

from alerts.channels.answers import exchange
from alerts.channels.interface import BadMessage, Channel, Delivered, Delivery, Outcome, SinkFailure
from alerts.channels.line import Line
from alerts.channels.platform.fields import Facts
from alerts.channels.platform.signers.draft import Attempt, Draft, parameter
from alerts.channels.sms.gateway import SmsConfig
from alerts.duty.roster import masked
from alerts.messages.notice import message
from alerts.messages.wording import kept_end

_MOBILE = re.compile(r"(?:(?:00)?86)?(1[3-9][0-9]{9})", re.ASCII)
_FORM = "application/x-www-form-urlencoded; charset=utf-8"


def send(delivery: Delivery, config: SmsConfig, line: Line) -> Outcome:
    on_duty = [] if config.numbers else delivery.mentions
    found = {one.name: mobile(one.phone.get_secret_value() if one.phone is not None else "") for one in on_duty}
    numbers = list(config.numbers) or list(dict.fromkeys(number for number in found.values() if number))
    not_reached = [name for name, number in found.items() if not number]
    if not numbers:
        named = f" ({'、'.join(not_reached)})" if not_reached else ""
        return SinkFailure(
            f"nobody who is on duty{named} has a mobile number in the roster, and the sink has no numbers"
        )
    draft = config.signer.sign(request(delivery, config, numbers), Attempt())
    form = config.encoding == "form"
    body = (
        urlencode({name: parameter(value) for name, value in draft.body.items()}).encode()
        if form
        else orjson.dumps(draft.body)
    )
    headers = draft.headers | ({"Content-Type": _FORM} if form else {})
    outcome = discreet(exchange(lambda: line.post(draft.url, body, headers), config.codes()), numbers)
    return _naming(outcome, not_reached) if not_reached else outcome


def mobile(phone: str) -> str:
    """A number of the roster as gateways take it, eleven digits; empty: it is no mobile number. A landline among the
    numbers, and gateways refuse the message for all of them."""
    digits = re.sub(r"[^0-9]", "", phone)
    return found[1] if (found := _MOBILE.fullmatch(digits)) else ""


def _naming(outcome: Outcome, not_reached: list[str]) -> Outcome:
    """The outcome, and who was on duty and could not be written to."""
    if isinstance(outcome, Delivered):
        return Delivered(outcome.receipt | {"not_reached": not_reached})
    return replace(outcome, error=f"{outcome.error}; no mobile number: {'、'.join(not_reached)}")


def request(delivery: Delivery, config: SmsConfig, numbers: list[str]) -> Draft:
    """What is posted, before it is signed."""
    facts = Facts(delivery.snapshot, delivery.idempotency_key, delivery.link, beside=delivery.beside)
    written = config.times.written
    params = {
        name: _fitted("" if value is None else str(value), config, link=name in config.linking) or config.absent_param
        for name, value in config.filled_params.filled(facts, written).items()
    }
    tokens = {
        "$text": text(delivery, config.longest),
        "$numbers": numbers,
        "$numbers_text": ",".join(numbers),
        "$params": params,
        "$params_text": orjson.dumps(params).decode(),
        "$params_list": list(params.values()),
        "$sign_name": config.sign_name,
        "$template_code": config.template_code,
    }
    headers = {name: value.get_secret_value() for name, value in config.headers.items()}
    body = _put(config.filled_body.filled(facts, written), tokens)
    return Draft("POST", config.url.get_secret_value(), headers, body)


def _fitted(value: str, config: SmsConfig, *, link: bool) -> str:
    """As much of it as the provider takes. A link whole or not at all: what is cut opens nothing."""
    if link:
        return value if len(value) <= config.param_longest else ""
    return kept_end(value, config.param_longest)


def text(delivery: Delivery, longest: int) -> str:
    """The message with its link; without, where that is more than the gateway takes."""
    said = message(delivery.snapshot, delivery.link, delivery.beside)
    return str(said) if len(str(said)) <= longest else said.text[:longest]


def _put(part: Any, tokens: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        return {name: _put(value, tokens) for name, value in part.items()}
    if isinstance(part, list):
        return [_put(value, tokens) for value in part]
    return tokens.get(part, part) if isinstance(part, str) else part


def discreet(outcome: Outcome, numbers: list[str]) -> Outcome:
    """The outcome without the numbers that the gateway may have repeated in its answer."""
    if isinstance(outcome, Delivered):
        shown = _masked(orjson.dumps(outcome.receipt).decode(), numbers)
        return Delivered(orjson.loads(shown))
    if isinstance(outcome, BadMessage):
        return BadMessage(_masked(outcome.error, numbers))
    return replace(outcome, error=_masked(outcome.error, numbers))


def _masked(shown: str, numbers: list[str]) -> str:
    for number in numbers:
        shown = shown.replace(number, masked(number) or "")
    return shown


CHANNEL = Channel("短信", SmsConfig, send, gathers=True, mentions=True)

"""A request before it is signed, and what a signer makes of it."""

from __future__ import annotations

import secrets
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import orjson

from alerts.channels.platform.strict import Strict


@dataclass(frozen=True)
class Attempt:
    """What differs between two attempts at the same message: gateways refuse an old time and a nonce they know."""

    at_s: float = field(default_factory=time.time)
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))


@dataclass(frozen=True)
class Draft:
    """`body` is a JSON value; `signed` tells people what was signed, and how."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any
    signed: tuple[str, ...] = ()

    def with_headers(self, headers: Mapping[str, str]) -> Draft:
        return replace(self, headers={**self.headers, **headers})

    def with_query(self, parameters: Mapping[str, str]) -> Draft:
        address, hash_mark, fragment = self.url.partition("#")
        joint = "&" if "?" in address else "?"
        return replace(self, url=f"{address}{joint}{urlencode(parameters)}{hash_mark}{fragment}")

    def with_body(self, body: Any) -> Draft:
        return replace(self, body=body)

    def explained(self, *signed: str) -> Draft:
        return replace(self, signed=(*self.signed, *signed))


class SignerSettings(Strict):
    """What every signer is: settings, and a way to sign. `kind` names it in a configuration."""

    @property
    def needs_object(self) -> bool:
        """Whether the body must be an object, whose parts are signed or among which the signature stands."""
        return False

    @abstractmethod
    def sign(self, draft: Draft, attempt: Attempt) -> Draft:
        """The same request, with what shows that it is ours."""


def parameter(value: Any) -> str:
    """A value as platforms sign it and send it in a form: text as it is, anything else as compact JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()

"""A request that came in, and what a verifier makes of it: the message without its signature, or why it is refused."""

from __future__ import annotations

import hmac
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from alerts.channels.platform.strict import Strict

SKEW_S = 180.0
"""How far a signature's time may be from ours."""

Why = Literal["unsigned", "stranger", "expired", "bad_signature", "replayed", "unreadable"]


class NotVerifiedError(Exception):
    """It is not shown to be the platform's. `why` is what the audit log has; the text names the field."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why: Why = why


@dataclass(frozen=True)
class Incoming:
    """`headers` by lower-case name."""

    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Opened:
    """`once`: what may be used one time only, if the platform's way of signing has such a thing."""

    body: dict[str, Any]
    once: str | None = None


class VerifierSettings(Strict):
    """What every verifier is: settings, and a way to look at a request. `kind` names it in a configuration."""

    @abstractmethod
    def opened(self, incoming: Incoming, now_s: float) -> Opened:
        """The message in it. Raises NotVerifiedError."""


def given(values: Mapping[str, Any], name: str) -> str:
    """What must be there."""
    found = values.get(name)
    if not isinstance(found, str | int) or isinstance(found, bool) or found == "":
        raise NotVerifiedError("unsigned", f"{name} is missing")
    return str(found)


def in_time(name: str, at_s: float | None, said: str, now_s: float) -> None:
    if at_s is None:
        raise NotVerifiedError("unsigned", f"{name} = {said[:40]!r}: is no time as it was agreed on")
    if abs(now_s - at_s) > SKEW_S:
        raise NotVerifiedError("expired", f"{name} = {said!r}: is not within {SKEW_S:.0f} s of our clock")


def same(name: str, said: str, right: str) -> None:
    if not hmac.compare_digest(said.encode(), right.encode()):
        raise NotVerifiedError("bad_signature", f"{name}: is wrong")


def seconds(text: str, a_second: int = 1) -> float | None:
    """A time as digits, in seconds or in parts of them."""
    return int(text) / a_second if text.isascii() and text.isdecimal() and len(text) <= 16 else None

"""Links: the token in a message's link, with which its receiver opens the alarm's page without logging in.

A token says which alarm and episode, by which delivery it came, and until when it is good; its end is a MAC over that.
Whoever has one may see that page and acknowledge as the delivery's receiver, nothing else. It is kept as short as it
goes, since an SMS is paid by the character: numbers are LEB128, times are whole minutes.

    base64url( version ‖ alarm_key ‖ episode ‖ delivery_key ‖ minutes ‖ 16 bytes of HMAC-SHA256(secret, all before) )
"""

from __future__ import annotations

import hmac
import math
import secrets as random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from underfoot.audit.log import enter
from underfoot.clock import CLOCK
from underfoot.storage.connect import Connection
from underfoot.storage.statements import statement

LONGEST_TOKEN = 64
LASTS = timedelta(days=7)
"""How long a link is good from its issue, and so how long a secret is believed after a newer one took its place."""

_VERSION = 1
_MAC = 16
_LARGEST = 2**63 - 1


class Fault(StrEnum):
    """Why a link does not open."""

    malformed = "malformed"
    """Cut off, mistyped, or never a link of ours."""
    forged = "forged"
    """Well formed, but no secret of ours signed it: tampered with, or of another installation."""
    expired = "expired"


class LinkError(Exception):
    """`link`: what one says that has expired; of what we did not sign nothing is believed."""

    def __init__(self, fault: Fault, link: Link | None = None) -> None:
        super().__init__(f"the link is {fault.value}")
        self.fault = fault
        self.link = link


@dataclass(frozen=True, slots=True)
class Secret:
    """`retired_at`: when a newer one took its place."""

    secret: bytes
    retired_at: datetime | None = None

    def __repr__(self) -> str:
        return f"Secret(retired_at={self.retired_at})"


@dataclass(frozen=True, slots=True)
class Link:
    alarm_key: int
    episode: int
    delivery_key: int
    expires_at: datetime


def issue(secret: bytes, *, alarm_key: int, episode: int, delivery_key: int, expires_at: datetime) -> str:
    """The token of one delivery's link. The same again for the same, so that a message sent twice says the same."""
    minutes = math.ceil(expires_at.timestamp() / 60)
    said = bytes([_VERSION]) + b"".join(map(_written, (alarm_key, episode, delivery_key, minutes)))
    return urlsafe_b64encode(said + _mac(secret, said)).rstrip(b"=").decode()


def expiry(owed_at: datetime, now: datetime) -> datetime:
    """Until when the link of a delivery that has been owed since `owed_at`, and is sent now, is good. It changes only
    with the day, so that attempts at one delivery say the same; and never is it shorter than `LASTS`."""
    days = math.ceil((now - owed_at) / timedelta(days=1))
    return owed_at + timedelta(days=max(days, 0)) + LASTS


def redeem(secret: bytes | Sequence[Secret], token: str, now: datetime) -> Link:
    """What the token says, if one of ours made it and it is still good. Raises LinkError."""
    said, mac = _taken_apart(token)
    link = _read(said)
    known = [Secret(secret)] if isinstance(secret, bytes) else secret
    if not any(
        # A secret that was given up because somebody else has it must not sign links that run for ever.
        (one.retired_at is None or link.expires_at <= one.retired_at + LASTS + timedelta(days=1))
        and hmac.compare_digest(_mac(one.secret, said), mac)
        for one in known
    ):
        raise LinkError(Fault.forged)
    if now >= link.expires_at:
        raise LinkError(Fault.expired, link)
    return link


# the secrets ----------------------------------------------------------------------------------------------------------


def secrets(connection: Connection) -> list[Secret]:
    """Those whose links may still be good; the first one signs."""
    return [Secret(bytes(secret), retired_at) for secret, retired_at in connection.execute(statement("links.secrets"))]


def rotate(connection: Connection, *, actor: str, voids_older: bool = False) -> int:
    """Sign with a new secret from now on; with `voids_older` every link that is out opens nothing any more."""
    with connection.transaction():
        params = {"secret": random.token_bytes(32), "at": CLOCK.now(), "voids_older": voids_older}
        number: int
        [(number,)] = connection.execute(statement("links.rotate"), params).fetchall()
        enter(connection, actor, "links.rotate", f"link_secret:{number}", {"voids_older": voids_older})
    return number


# the form -------------------------------------------------------------------------------------------------------------


def _taken_apart(token: str) -> tuple[bytes, bytes]:
    if not 0 < len(token) <= LONGEST_TOKEN or not token.isascii():
        raise LinkError(Fault.malformed)
    try:
        whole = urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (Base64Error, ValueError):
        raise LinkError(Fault.malformed) from None
    # Base64 has several spellings of one and the same bytes; a link has one.
    if urlsafe_b64encode(whole).rstrip(b"=").decode() != token or len(whole) <= _MAC or whole[0] != _VERSION:
        raise LinkError(Fault.malformed)
    return whole[:-_MAC], whole[-_MAC:]


def _read(said: bytes) -> Link:
    numbers, at = [], 1
    for _ in range(4):
        number, at = _number(said, at)
        numbers.append(number)
    if at != len(said):
        raise LinkError(Fault.malformed)
    alarm_key, episode, delivery_key, minutes = numbers
    try:
        return Link(alarm_key, episode, delivery_key, datetime.fromtimestamp(minutes * 60, UTC))
    except (OverflowError, ValueError, OSError):
        raise LinkError(Fault.malformed) from None


def _written(number: int) -> bytes:
    if not 0 <= number <= _LARGEST:
        raise ValueError(f"{number}: a link says numbers from 0 to {_LARGEST}")
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _number(said: bytes, at: int) -> tuple[int, int]:
    number = 0
    for place, byte in enumerate(said[at : at + 9]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise LinkError(Fault.malformed)


def _mac(secret: bytes, said: bytes) -> bytes:
    return hmac.digest(secret, b"underfoot link\0" + said, sha256)[:_MAC]

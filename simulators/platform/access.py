"""Who may push: nobody is asked, or a bearer token, or one of the signatures that cities ask for.

Written from the platforms' side, and of nothing that the sender is made of: what passes here was signed as described.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import SM4
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB
from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.hmac import HMAC

from simulators.platform import sm2

_SKEW_S = 180
_NONCE_S = 600

Body = dict[str, Any]


class RefusedError(Exception):
    """Why a request is not let in."""


@dataclass(frozen=True)
class Parameters:
    """appKey, timestamp (milliseconds), nonce and sign: in the body, in the query or in headers. All parameters but
    empty ones are signed, sorted, as `name=value&name=value`; with MD5 the secret stands behind them.

    `body_signed`: whether the body's fields are among them, where the signature stands elsewhere."""

    secrets: Mapping[str, str]
    """By app key."""
    algorithm: Literal["md5", "hmac-sha256", "hmac-sm3"] = "hmac-sha256"
    body_signed: bool = True

    def opened(self, headers: Mapping[str, str], query: Mapping[str, str], body: Body) -> tuple[Body, str]:
        own = ("appKey", "timestamp", "nonce", "sign")
        given: Mapping[str, Any] = {name: headers.get(name.lower(), "") for name in own}
        rest = body
        if "sign" in body:
            given, rest = body, {name: value for name, value in body.items() if name not in own}
        elif "sign" in query:
            given = query
        secret = self.secrets.get(str(given.get("appKey", "")))
        if secret is None:
            raise RefusedError(f"appKey: {given.get('appKey')!r} is not known")
        _in_time("timestamp", str(given.get("timestamp", "")), 1000)
        signed = {**(rest if self.body_signed else {}), **{name: given.get(name, "") for name in own[:3]}}
        pieces = [f"{name}={text}" for name in sorted(signed) if (text := _text(signed[name])) != ""]
        if not hmac.compare_digest(self._sign("&".join(pieces), secret), str(given["sign"]).encode()):
            raise RefusedError("sign: wrong")
        return rest, str(given.get("nonce", ""))

    def _sign(self, plain: str, secret: str) -> bytes:
        if self.algorithm == "md5":
            made = hashlib.md5((plain + secret).encode(), usedforsecurity=False).hexdigest()
        elif self.algorithm == "hmac-sha256":
            made = hmac.new(secret.encode(), plain.encode(), hashlib.sha256).hexdigest()
        else:
            keyed = HMAC(secret.encode(), SM3())
            keyed.update(plain.encode())
            made = keyed.finalize().hex()
        return made.upper().encode()


@dataclass(frozen=True)
class Sealed:
    """`encData` is SM4 of the body, `signData` SM2 of the envelope's other parts, both in Base64; r and s raw."""

    sm4_key: bytes
    public_key: bytes
    """The sender's, 64 bytes."""
    sm4_iv: bytes | None = None
    """With one the mode is CBC, else ECB."""
    user_id: bytes = b"1234567812345678"

    def opened(self, body: Body) -> Body:
        missing = {"encData", "appCode", "version", "encType", "signType", "timestamp", "signData"} - body.keys()
        if missing:
            raise RefusedError(f"{', '.join(sorted(missing))}: missing")
        if (body["encType"], body["signType"]) != ("SM4", "SM2"):
            raise RefusedError(f"encType, signType = {body['encType']!r}, {body['signType']!r}: SM4 and SM2 are needed")
        _in_time("timestamp", str(body["timestamp"]), 1000)
        plain = "&".join(f"{name}={body[name]}" for name in sorted(body.keys() - {"signData"}))
        try:
            signature, sealed = base64.b64decode(body["signData"], validate=True), base64.b64decode(body["encData"])
        except (binascii.Error, ValueError) as error:
            raise RefusedError(f"encData, signData: {error}") from None
        if not sm2.verified(self.public_key, plain.encode(), signature, self.user_id):
            raise RefusedError("signData: wrong")
        return self._decrypted(sealed)

    def _decrypted(self, sealed: bytes) -> Body:
        mode = ECB() if self.sm4_iv is None else CBC(self.sm4_iv)  # noqa: S305 - as platforms do
        opening = Cipher(SM4(self.sm4_key), mode).decryptor()
        try:
            padded = opening.update(sealed) + opening.finalize()
            body = orjson.loads(padded[: -padded[-1]])
        except (ValueError, IndexError) as error:
            raise RefusedError(f"encData: {error}") from None
        if not isinstance(body, dict):
            raise RefusedError("encData: no JSON object is in it")
        return body


@dataclass
class Access:
    """`token`: `Authorization: Bearer …`. `gateway_token`: the secret behind `x-tif-*` or `x-rio-*` signatures.
    `fixed`: headers that must be there. `signed`: what is signed or sealed in the message itself."""

    token: str | None = None
    gateway_token: str | None = None
    fixed: Mapping[str, str] = field(default_factory=dict)
    signed: Parameters | Sealed | None = None
    _nonces: dict[str, float] = field(default_factory=dict)

    def opened(self, headers: Mapping[str, str], query: Mapping[str, str], body: Body) -> Body:
        """The message without what only shows whose it is. Raises RefusedError where it is not let in."""
        if self.token is not None:
            given = headers.get("authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
                raise RefusedError("Authorization: the bearer token is missing or wrong")
        for name, value in self.fixed.items():
            if not hmac.compare_digest(headers.get(name.lower(), "").encode(), value.encode()):
                raise RefusedError(f"{name}: missing or wrong")
        if self.gateway_token is not None:
            self._check_gateway(headers, self.gateway_token)
        if isinstance(self.signed, Parameters):
            body, nonce = self.signed.opened(headers, query, body)
            self._use_up("nonce", nonce)
        elif isinstance(self.signed, Sealed):
            body = self.signed.opened(body)
        return body

    def _check_gateway(self, headers: Mapping[str, str], token: str) -> None:
        kind = "rio" if "x-rio-signature" in headers else "tif"
        timestamp, nonce, signature = (
            headers.get(f"x-{kind}-{name}", "") for name in ("timestamp", "nonce", "signature")
        )
        _in_time(f"x-{kind}-timestamp", timestamp, 1)
        signed = hashlib.sha256(f"{timestamp}{token}{nonce}{timestamp}".encode()).hexdigest().upper()
        if not hmac.compare_digest(signature.encode(), signed.encode()):
            raise RefusedError(f"x-{kind}-signature: wrong")
        self._use_up(f"x-{kind}-nonce", nonce)

    def _use_up(self, name: str, nonce: str) -> None:
        now = time.time()
        for old in [old for old, since in self._nonces.items() if now - since > _NONCE_S]:
            del self._nonces[old]
        if nonce in self._nonces:
            raise RefusedError(f"{name}: used already within {_NONCE_S // 60} min")
        self._nonces[nonce] = now


def _in_time(name: str, timestamp: str, a_second: int) -> None:
    unit = "seconds" if a_second == 1 else "milliseconds"
    if not timestamp.isdecimal() or abs(time.time() - int(timestamp) / a_second) > _SKEW_S:
        raise RefusedError(f"{name}: {timestamp!r} is not within {_SKEW_S} s of our clock, in {unit}")


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()

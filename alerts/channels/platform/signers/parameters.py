"""appKey and sorted parameters: what many provincial and city platforms took over from the first open platforms."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from cryptography.hazmat.primitives.hashes import SM3
from cryptography.hazmat.primitives.hmac import HMAC
from pydantic import Field, SecretStr

from alerts.channels.platform.signers.draft import Attempt, Draft, SignerSettings, parameter
from alerts.channels.platform.strict import Strict
from underfoot.city_time import CITY_ZONE


class ParameterNames(Strict):
    """The platform's names for what is added to a request."""

    app_key: str = Field("appKey", min_length=1)
    timestamp: str = Field("timestamp", min_length=1)
    nonce: str | None = Field("nonce", min_length=1, description="null: none is sent")
    sign: str = Field("sign", min_length=1)


class ParameterSigner(SignerSettings):
    """The signature of all parameters, sorted by name, empty ones left out."""

    kind: Literal["parameters"]
    app_key: str = Field(min_length=1)
    app_secret: SecretStr = Field(min_length=1)
    algorithm: Literal["md5", "hmac-sha256", "hmac-sm3"]
    place: Literal["body", "query", "headers"] = Field("body", description="Where key, time, nonce and signature stand")
    covers_body: bool = Field(True, description="Whether the body's outermost fields are signed too")
    joined: Literal["name=value&", "namevalue"] = "name=value&"
    secret: Literal["after", "around", "&key="] = Field("after", description="Where the secret stands; of md5 only")
    written: Literal["upper-hex", "lower-hex", "base64"] = "upper-hex"
    time: Literal["seconds", "milliseconds", "text"] = Field("milliseconds", description="text: YYYYMMDDHHMMSS")
    names: ParameterNames = ParameterNames()

    @property
    def needs_object(self) -> bool:
        return self.covers_body or self.place == "body"

    def sign(self, draft: Draft, attempt: Attempt) -> Draft:
        added = {self.names.app_key: self.app_key, self.names.timestamp: self._time(attempt.at_s)}
        if self.names.nonce is not None:
            added[self.names.nonce] = attempt.nonce
        covered: dict[str, Any] = {**(draft.body if self.covers_body else {}), **added}
        added[self.names.sign] = self.signature(covered)
        signed = draft.explained(
            f"{self.names.sign} = {self.algorithm} of {', '.join(sorted(covered))}, sorted, as {self.joined}"
            + (f", the secret {self.secret} it" if self.algorithm == "md5" else "")
        )
        match self.place:
            case "body":
                return signed.with_body({**draft.body, **added})
            case "query":
                return signed.with_query(added)
            case "headers":
                return signed.with_headers(added)

    def signature(self, parameters: Mapping[str, Any]) -> str:
        texts = {name: text for name in sorted(parameters) if (text := parameter(parameters[name]))}
        plain = (
            "&".join(f"{name}={text}" for name, text in texts.items())
            if self.joined == "name=value&"
            else "".join(f"{name}{text}" for name, text in texts.items())
        )
        return self._written(self._digest(plain))

    def _digest(self, plain: str) -> bytes:
        secret = self.app_secret.get_secret_value()
        match self.algorithm:
            case "md5":
                whole = {
                    "after": f"{plain}{secret}",
                    "around": f"{secret}{plain}{secret}",
                    "&key=": f"{plain}&key={secret}",
                }[self.secret]
                # The platform's choice, not ours; the line itself is TLS.
                return hashlib.md5(whole.encode(), usedforsecurity=False).digest()
            case "hmac-sha256":
                return hmac.digest(secret.encode(), plain.encode(), "sha256")
            case "hmac-sm3":
                return hmac_sm3(secret.encode(), plain.encode())

    def _written(self, digest: bytes) -> str:
        match self.written:
            case "upper-hex":
                return digest.hex().upper()
            case "lower-hex":
                return digest.hex()
            case "base64":
                return base64.b64encode(digest).decode()

    def _time(self, at_s: float) -> str:
        match self.time:
            case "seconds":
                return str(int(at_s))
            case "milliseconds":
                return str(int(at_s * 1000))
            case "text":
                return datetime.fromtimestamp(at_s, UTC).astimezone(CITY_ZONE).strftime("%Y%m%d%H%M%S")


def hmac_sm3(key: bytes, message: bytes) -> bytes:
    made = HMAC(key, SM3())
    made.update(message)
    return made.finalize()

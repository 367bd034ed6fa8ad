"""Nothing is signed: the platform is known by its address alone (whoever stands before us lets nobody else in), or by
a key and a secret in headers."""

from __future__ import annotations

import hmac
from typing import Literal

from pydantic import Field, field_validator

from alerts.channels.answers import SecretHeaders
from alerts.channels.platform.verifiers.incoming import Incoming, NotVerifiedError, Opened, VerifierSettings, given


class NoVerifier(VerifierSettings):
    """Whoever reaches us is believed."""

    kind: Literal["none"]

    def opened(self, incoming: Incoming, now_s: float) -> Opened:
        return Opened(incoming.body)


class HeaderVerifier(VerifierSettings):
    """Headers that are the same in every request."""

    kind: Literal["headers"]
    headers: SecretHeaders = Field(description="E.g. appKey and appSecret, by the platform's names")

    @field_validator("headers")
    @classmethod
    def _some(cls, headers: SecretHeaders) -> SecretHeaders:
        if not headers:
            raise ValueError("at least one header is needed")
        return headers

    def opened(self, incoming: Incoming, now_s: float) -> Opened:
        for name, value in self.headers.items():
            said = given(incoming.headers, name.lower())
            if not hmac.compare_digest(said.encode(), value.get_secret_value().encode()):
                raise NotVerifiedError("bad_signature", f"{name}: is wrong")
        return Opened(incoming.body)
